"""What the triangle measures, as data: tasks, and rows of policies. Adding one is adding an entry here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from robolearn import seeds
from robolearn.errors import UserError
from robolearn.nets.mlp import MLPConfig
from robolearn.nets.vision import VisionConfig
from robolearn.policies.cvae import CVAEConfig
from robolearn.policies.diffusion import DiffusionConfig
from robolearn.policies.family import FamilyConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.flowmap import FlowMapConfig
from robolearn.policies.gan import GanConfig
from robolearn.policies.gmm import GMMConfig
from robolearn.policies.mip import MIPConfig
from robolearn.policies.mixture import MixtureConfig
from robolearn.policies.regression import RegressionConfig
from robolearn.policies.score import ScoreConfig
from robolearn.policies.tokens import TokensConfig
from robolearn.rollout.env_config import EnvConfig
from robolearn.training.config import DatasetConfig, TrainConfig

BUDGETS = {"compute": 1.0, "converged": 3.0}
"""Name -> training compute, in that of the task's reference row."""


@dataclass(frozen=True)
class Cost:
    """CPU time of a training, in optimizer steps of the reference row; from `python -m robolearn bench cost`."""

    step: float = 1.0
    """Of one step."""
    start: float = 0.0
    """Of what does not grow with the steps, such as sampling a teacher."""


@dataclass(frozen=True)
class Task:
    """Where policies are compared: demonstrations, training options, backbone and episodes."""

    name: str
    train: TrainConfig
    """Options of every row, but its family; `steps` are those of the reference row, flow, in the compute budget."""
    num_states: int = 10
    """Initial states of the evaluation, and of the episodes on which sampler settings are chosen."""
    num_repeats: int = 24
    """Episodes from each, with other noise: enough to see its modes, or 1 where modes do not matter."""
    num_seeds: int = 5
    """Trainings of each row."""
    looks: int = 1
    """How often its verdict is asked for: once more where trainings were added after a verdict."""
    costs: Mapping[str, Cost] = field(default_factory=dict)
    """Row -> its cost here, where the network or the images make it another one than `Row.cost`."""
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Row -> options of its family that are better for it here than the defaults, by trials on the seed for tuning."""
    note: str = ""
    """What was made smaller than the measurement asks for."""

    @property
    def parts(self) -> dict[str, range]:
        """What is measured, and the seeds of its initial states."""
        return {"evaluation": seeds.TRIANGLE[: self.num_states], "selection": seeds.SELECTION[: self.num_states]}

    def options(self, row: Row) -> TrainConfig:
        """Training options of a row, its family among them."""
        family: Any = row.family
        family = dataclasses.replace(family, **self.own.get(row.name, {}))
        return dataclasses.replace(self.train, family=family)


@dataclass(frozen=True)
class Setting:
    """One way to sample a trained policy."""

    name: str
    runtime: dict[str, Any] = field(default_factory=dict)
    """Run-time choices of the family."""


@dataclass(frozen=True)
class Row:
    """One family, trained once per seed and budget, and evaluated in every setting."""

    name: str
    family: FamilyConfig
    settings: tuple[Setting, ...] = (Setting("default"),)
    cost: Cost = Cost()
    """On the default MLP and low-dimensional observations."""
    note: str = ""
    """What a reader of its numbers has to know."""

    def num_steps(self, task: Task, budget: str) -> int:
        """Optimizer steps that use up the budget, in whole hundreds (or fewer than a hundred)."""
        cost = task.costs.get(self.name, self.cost)
        affordable = (BUDGETS[budget] * task.train.steps - cost.start) / cost.step
        return 100 * round(affordable / 100) if affordable >= 100 else max(1, round(affordable))


DENOISERS = ("flow", "score", "langevin", "diffusion")
"""Rows that learn from noise drawn for each window; several draws cost little where a camera's network dominates."""

TASKS = (
    Task(
        "avoid",
        TrainConfig(dataset=DatasetConfig((Path("avoid.zarr"),)), exec_horizon=4),
        num_states=24,
    ),
    Task(
        "insert",
        TrainConfig(dataset=DatasetConfig((Path("insert.zarr"),)), exec_horizon=2, steps=6_000),
        num_states=96,
        num_repeats=12,
    ),
    Task(
        "push",
        TrainConfig(dataset=DatasetConfig((Path("push.zarr"),)), exec_horizon=4, steps=12_000),
        num_states=64,
        num_repeats=12,
    ),
    Task(
        "pusht",
        TrainConfig(
            backbone=MLPConfig(width=512, depth=4),
            dataset=DatasetConfig((Path("pusht.zarr"),), obs_keys=("state",), angles=("state:4",)),
            env=EnvConfig("envs:robolearn/PushT-v0"),
            exec_horizon=4,
            steps=20_000,
            lr=5e-4,
            weight_decay=1e-4,
            ema_decay=0.9995,
        ),
        num_states=240,
        num_repeats=1,
        num_seeds=3,
        costs={"regression": Cost(1.08), "mip": Cost(1.45), "tokens": Cost(1.16)},
        note="20,000 of the 60,000 steps at which the policy of the results was trained",
    ),
    Task(
        "avoid_pixels",
        TrainConfig(
            dataset=DatasetConfig((Path("avoid_pixels.zarr"),), obs_keys=("image", "state")),
            obs_horizon=1,
            exec_horizon=1,
            steps=12_000,
            batch_size=64,
            vision=VisionConfig(shift=0),  # where the rows stand is what the image is for
        ),
        num_states=24,
        looks=2,  # three trainings were judged before
        # The image is nearly all that a step costs: even with two passes through the MLP, as mip has, it is 1.08.
        costs={"mip": Cost(1.08), "tokens": Cost(0.96, 200.0), "cvae": Cost(), "gmm": Cost()},
        own={row: {"draws_per_window": 8} for row in DENOISERS},
    ),
)

FEW_STEPS = tuple(Setting(f"{steps} step{'s' * (steps > 1)}", {"steps": steps}) for steps in (1, 2, 4))
TEACHER = ScoreConfig(steps=8, langevin_step=0.1)  # as what was measured says, though no teacher is sampled so

ROWS = (
    Row("regression", RegressionConfig(), cost=Cost(1.04)),
    Row("mip", MIPConfig(), cost=Cost(1.6)),
    Row("gmm", GMMConfig(), (Setting("means", {"std_scale": 0.0}), Setting("samples", {"std_scale": 1.0})), Cost(1.5)),
    Row(
        "tokens",
        TokensConfig(),
        cost=Cost(1.3),
        note="changed after its first verdict, and measured on new seeds",
    ),
    Row("tokens-vq", TokensConfig(variant="residual-vq", focal_gamma=2.0), cost=Cost(2.0)),  # the paper's loss
    Row("gan", GanConfig(), cost=Cost(5.0)),
    Row(
        "cvae",
        CVAEConfig(),
        (Setting("sampled", {"latent": "sampled"}), Setting("zero", {"latent": "zero"})),
        Cost(1.2),
    ),
    Row(
        "diffusion",
        DiffusionConfig(),
        (
            Setting("ddim-16", {"sampler": "ddim", "steps": 16}),
            Setting("dpm++-10", {"sampler": "dpm++", "steps": 10}),
            Setting("dpm++-20", {"sampler": "dpm++", "steps": 20}),
        ),
    ),
    Row(
        "score",
        ScoreConfig(),
        (
            Setting("heun-5", {"sampler": "heun", "steps": 5}),
            Setting("heun-10", {"sampler": "heun", "steps": 10}),
            Setting("euler-20", {"sampler": "euler", "steps": 20}),
        ),
    ),
    Row(
        "langevin",  # trained as score is; its defaults were wrong when that row was measured
        ScoreConfig(),
        (Setting("10x5", {"sampler": "langevin", "steps": 10, "langevin_repeats": 5, "langevin_step": 0.7}),),
    ),
    Row(
        "flow",
        FlowConfig(),
        (
            Setting("euler-1", {"sampler": "euler", "steps": 1}),
            Setting("euler-10", {"sampler": "euler", "steps": 10}),
            Setting("euler-50", {"sampler": "euler", "steps": 50}),
            Setting("heun-10", {"sampler": "heun", "steps": 10}),
        ),
    ),
    Row("flowmap", FlowMapConfig(ends="logit-normal"), FEW_STEPS, cost=Cost(2.4)),
    Row("shortcut", FlowMapConfig(target="shortcut", ends="logit-normal"), FEW_STEPS, cost=Cost(1.35)),
    Row("mixture-plain", MixtureConfig(variant="plain", teacher=TEACHER), cost=Cost(1.5, 1350.0)),
    Row("mixture", MixtureConfig(teacher=TEACHER), cost=Cost(1.2, 1650.0)),
)

REFERENCE = "flow"
"""The row whose step is the unit of compute."""


@runtime_checkable
class Named(Protocol):
    """Anything with a name, such as a task or a row."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...


Entry = TypeVar("Entry", bound=Named)


def choose(kind: str, names: Sequence[str], among: Sequence[Entry]) -> list[Entry]:
    """The entries with these names, in the order of the table; all of them when no name is given.

    Args:
        kind: What they are, for the message.
        names: Wanted.
        among: There are.

    Raises:
        UserError: A name is unknown.
    """
    there = [entry.name for entry in among]
    for name in names:
        if name not in there:
            raise UserError(f"unknown {kind} {name!r}; choose from {', '.join(there)}")
    return [entry for entry in among if not names or entry.name in names]

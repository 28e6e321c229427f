"""Policies from human demonstrations: trained by their recipes, evaluated, one row each.

    python -m benchmarks.human pusht DATA.zarr --out docs/results/human.json    Push-T, 206 demonstrations
    python -m benchmarks.human door DATA.zarr --out docs/results/human.json     Adroit door, 25, imported first

Push-T is evaluated in gym-pusht (score: mean over episodes of max_t min(coverage / 0.95, 1)) and then in PushT-v0. The
door is rolled out in AdroitHandDoor-v1. Always the last checkpoint. A run that is complete is not trained again, one
that was stopped goes on. Intervals span trainings and starts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import keep_part, options
from robolearn import seeds, train
from robolearn.bench.rows import choose
from robolearn.errors import user_errors
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.diffusion import DiffusionConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.policy import Policy
from robolearn.policies.registry import name_of
from robolearn.policies.regression import RegressionConfig
from robolearn.policies.tokens import TokensConfig
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.rollout.roll_out import roll_out
from robolearn.stats.bootstrap import grouped_mean, grouped_share
from robolearn.stats.value import Estimate
from robolearn.training.config import TrainConfig
from robolearn.training.recipes import RECIPES
from robolearn.training.run import Run
from robolearn.types import Trajectory

EPISODES, DRY_EPISODES = 200, 2
DRY: dict[str, Any] = {"steps": 2, "batch_size": 8, "backbone": MLPConfig(width=32)}
DOOR_ANGLE, OPEN = 28, 1.0  # index of the door hinge in AdroitHandDoor-v1's observation, and an angle of it [rad]

Number = Callable[[Trajectory], bool | float]
"""What of an episode is told."""


@dataclass(frozen=True)
class Row:
    """One policy: how it is trained, how often, and where it is evaluated."""

    name: str
    train: TrainConfig
    envs: tuple[EnvConfig, ...]
    num_seeds: int


PUSHT = Row(
    "pusht-tokens-mlp",
    RECIPES["pusht"],
    (EnvConfig("gym_pusht:gym_pusht/PushT-v0"), EnvConfig("envs:robolearn/PushT-v0")),
    num_seeds=3,
)
DOOR_ENV = EnvConfig("gymnasium_robotics:AdroitHandDoor-v1", max_episode_steps=300)
DOOR_STEPS = {
    TokensConfig(): 10_000,
    RegressionConfig(): 10_000,
    FlowConfig(): 40_000,
    DiffusionConfig(): 40_000,
}  # until the loss hardly falls, or success does
DOOR = tuple(
    Row(f"door-{name_of(family)}-mlp", dataclasses.replace(RECIPES["door"], family=family, steps=steps), (DOOR_ENV,), 1)
    for family, steps in DOOR_STEPS.items()
)
ROWS = {"pusht": (PUSHT,), "door": DOOR}


def train_row(row: Row, seed: int, data: Path, runs: Path, dry: bool) -> Run:
    """Train or go on."""
    run = Run(runs / f"{row.name}-{seed}")
    dataset = dataclasses.replace(row.train.dataset, path=(data,))
    cfg = dataclasses.replace(row.train, dataset=dataset, seed=seed, out=run.directory, wandb=False)
    if dry:
        cfg = dataclasses.replace(cfg, **DRY)
    return train(cfg, resume=run.last_step() is not None)


def measure(runs: list[Run], env: EnvConfig, episodes: range) -> dict[str, Any]:
    """Roll the last checkpoints out: numbers over trainings and starts, and those of every episode [s, c]."""
    rolled = []
    for run in runs:
        policy, execution = Policy.load(run.checkpoint("last")), Execution(run.config().exec_horizon)
        rolled.append(roll_out(policy, env, range(len(episodes)), execution=execution, seed=episodes.start))
    return {"env": env.id, **summarize(rolled, NUMBERS | (DOOR_NUMBERS if env is DOOR_ENV else {}))}


def summarize(rolled: Sequence[Sequence[Trajectory]], numbers: Mapping[str, Number]) -> dict[str, Any]:
    """Name -> mean of a number of the episodes of all trainings, with its interval; and the numbers themselves."""
    starts = [[t.start for t in trajectories] for trajectories in rolled]
    assert all(of_one == starts[0] for of_one in starts), "trainings meet the same starts"
    assert len(set(starts[0])) == len(starts[0]), "each start is another one"
    assert not any(t.broken for trajectories in rolled for t in trajectories), "every episode counts"
    values = {name: [[number(t) for t in each] for each in rolled] for name, number in numbers.items()}
    return {name: asdict(mean(np.array(rows))) for name, rows in values.items()} | {"episodes": values}


def mean(values: np.ndarray) -> Estimate:
    """Of truth values or numbers [s, c]."""
    return grouped_share(values.astype(float), values.size) if values.dtype == bool else grouped_mean(values)


NUMBERS: dict[str, Number] = {
    "success": lambda t: t.success,
    "score": lambda t: t.max_score,
    "final_score": lambda t: t.final_score,
}
DOOR_NUMBERS: dict[str, Number] = {"opened": lambda t: bool((t.obs["state"][:, DOOR_ANGLE] > OPEN).any())}


def main() -> None:
    """Train and measure the rows of one data set, and keep the numbers of each as soon as they are there."""
    parser = options(__doc__)
    parser.add_argument("task", choices=ROWS)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rows", nargs="+", default=[], help="such as door-tokens-mlp; all by default")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    args = parser.parse_args()
    episodes = seeds.TRIANGLE[: DRY_EPISODES if args.dry_run else EPISODES]
    for row in choose("row", args.rows, ROWS[args.task]):
        count = 1 if args.dry_run else row.num_seeds
        runs = [train_row(row, seed, args.data, args.runs, args.dry_run) for seed in seeds.TRAININGS[:count]]
        measured = []
        for env in row.envs:
            measured.append(measure(runs, env, episodes))
            print(row.name, line(measured[-1]), flush=True)
        keep_part(
            args.out, row.name, {"steps": runs[0].config().steps, "starts_from": episodes.start, "envs": measured}
        )


def line(measured: Mapping[str, Any]) -> str:
    """The environment and the means, for people."""
    means = {name: value for name, value in measured.items() if isinstance(value, dict) and "value" in value}
    parts = [f"{name} {value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]" for name, value in means.items()]
    return " ".join([measured["env"], *parts])


if __name__ == "__main__":
    with user_errors():
        main()

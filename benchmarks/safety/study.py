"""What the parts of this study share: tasks, shifts, seeds, sizes, and the policies.

Seeds of episodes say what they are for, and no two purposes share one: see FIRST.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from robolearn import DatasetConfig, TrainConfig, seeds
from robolearn import collect as record
from robolearn import train as train_policy
from robolearn.policies.cvae import CVAEConfig
from robolearn.policies.ensemble import Ensemble
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.training.embeddings import embed_demonstrations
from robolearn.training.run import Run
from robolearn.trust.scores.fitted import fit_scores, save_fitted
from robolearn.trust.scores.score import NUM_WINDOWS

ALPHA = 0.1
EXECUTION = Execution(8)
NUM_SAMPLES = 16
BIAS = "sensor bias"
FIRST = {
    "evaluation": seeds.EVALUATION.start,
    "selection": seeds.SELECTION.start,  # shifts and the gates' scores were chosen on these
    "calibration": seeds.CALIBRATION.start,
    "tuning": seeds.CALIBRATION.start + 1_000,  # of the gates' thresholds to a budget
    "tube": seeds.CALIBRATION.start + 5_000,
    "set": seeds.CALIBRATION.start + 10_000,
    "interventions": seeds.INTERVENTIONS.start,
}
SCORES = (
    "disagreement",
    "variance",
    "entropy",
    "stac",
    "stac-single",
    "neighbour",
    "mahalanobis",
    "rnd",
    "logpzo",
    "laplace",
)


@dataclass(frozen=True)
class Task:
    """A task, its demonstrations, how long its policies train, and what is changed about it.

    The shifts were chosen on 100 episodes each from seed 300,000 with the first policy, so that some fail.
    """

    env_id: str
    demonstrations: int
    steps: int
    shifts: dict[str, dict[str, float]]


TASKS = {
    "avoid": Task(
        "envs:robolearn/Avoid-v0",
        2000,
        15_000,
        {"moved obstacle": {"moved": 0.06}, "damping": {"friction": 0.3}, BIAS: {"bias": 0.01}},
    ),
    "push": Task(
        "envs:robolearn/Push-v0",
        1000,
        10_000,
        {"moved goal": {"moved": -0.08}, "mass": {"mass": 3.0}, BIAS: {"bias": 0.01}},
    ),
    "insert": Task(
        "envs:robolearn/Insert-v0",
        1000,
        5_000,
        {"moved slot": {"moved": 0.01}, "friction": {"friction": 0.3}, BIAS: {"bias": 0.002}},
    ),
}


@dataclass(frozen=True)
class Study:
    """Sizes of the study, and where its work lies.

    Attributes:
        root: Policies, fitted scores and raw episodes; what is there is not made again.
        datasets: Demonstrations.
        tasks: Of TASKS.
        num_seeds: Training seeds per task.
        steps: Of every training; by default those of its task.
        options: Further options of every training.
        demonstrations: Share of each task's, in (0, 1].
        episodes: Evaluated, and as many to calibrate on.
        tuning: To choose scores and thresholds on.
        rounds: Of bisection for a budget, and of draws for a random gate.
        tube_calibration: Episodes that a tube is made from.
        set_episodes: Evaluated with and without a safety set.
        recorded: Episodes with interventions to learn from.
        repeats: Timed calls.
        alpha: Of the gates on disagreement that are executed.
    """

    root: Path = Path("runs/safety")
    datasets: Path = Path("datasets")
    tasks: tuple[str, ...] = tuple(TASKS)
    num_seeds: int = 5
    steps: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    demonstrations: float = 1.0
    episodes: int = 200
    tuning: int = 100
    rounds: int = 7
    tube_calibration: int = 400
    set_episodes: int = 300
    recorded: int = 300
    repeats: int = 300
    alpha: float = ALPHA

    def run(self, task: str, seed: int) -> Path:
        """Where a policy is."""
        return self.root / task / str(seed)

    def trained(self, task: str, run: Path) -> Path:
        """What a run has once it is complete: one that was stopped on the way has a last checkpoint as well."""
        return run / "checkpoints" / f"{self.steps or TASKS[task].steps:08d}"


DRY = Study(
    tasks=("avoid",),
    num_seeds=2,
    # Enough for some episodes to succeed, and for some to fail.
    steps=400,
    options={"batch_size": 64, "lr": 3e-3, "warmup_steps": 50, "ema_decay": 0.98},
    demonstrations=0.01,
    episodes=32,
    tuning=32,
    rounds=1,
    tube_calibration=40,
    set_episodes=8,
    recorded=8,
    repeats=2,
    alpha=0.5,
)


def environment(task: str, shift: str = "none") -> EnvConfig:
    """Environment of a task under one of its shifts; "none" for the task as it is."""
    return EnvConfig(TASKS[task].env_id, dict(TASKS[task].shifts.get(shift, {})))


def collect(study: Study, task: str) -> None:
    """Record the demonstrations, unless they are there."""
    count = max(1, round(study.demonstrations * TASKS[task].demonstrations))
    record(TASKS[task].env_id, count, study.datasets / f"{task}.zarr")


def train(
    study: Study,
    task: str,
    stores: Sequence[Path],
    seed: int,
    out: Path,
    device: Literal["cpu", "cuda"] = "cpu",
) -> None:
    """Train one policy; what it would print is of no interest beside others.

    Raises:
        KeyboardInterrupt: It was stopped.
    """
    steps = study.steps or TASKS[task].steps
    cfg = TrainConfig(
        family=CVAEConfig(),
        dataset=DatasetConfig(tuple(stores), short_episodes="pad"),
        env=EnvConfig(TASKS[task].env_id),
        chunk_frame="absolute",  # as it was measured
        steps=steps,
        checkpoint_every=steps,
        seed=seed,
        threads=1,
        wandb=False,
        device=device,
        out=out,
        overwrite=True,
        **study.options,
    )
    with contextlib.redirect_stdout(io.StringIO()):
        run = train_policy(cfg, trust=True)
    if not run.is_complete():
        raise KeyboardInterrupt


def load(study: Study, task: str, seed: int) -> Ensemble:
    """All policies of a task, the acting one first; the others are its fellow members."""
    order = [seed, *(other for other in range(study.num_seeds) if other != seed)]
    return Ensemble.load([Run.open(study.run(task, s)).checkpoint() for s in order])


def fitted_at(study: Study, task: str, seed: int) -> Path:
    """Where the fitted scores of a policy are."""
    return study.root / "fitted" / f"{task}-{seed}"


def fit(study: Study, task: str, seed: int) -> None:
    """Fit those scores that compare with demonstrations."""
    ensemble, run = load(study, task, seed), Run.open(study.run(task, seed))
    embedded = embed_demonstrations(run.config(), run.data(), ensemble, NUM_WINDOWS)
    save_fitted(fitted_at(study, task, seed), fit_scores(SCORES, *embedded, seed=seed))

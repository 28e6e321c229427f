"""What the parts of this benchmark share: tasks, shifts, policies, and rollouts that are kept once they are made."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robolearn.guard.calibrate import watch
from robolearn.guard.familiarity import (
    FAMILIARITY,
    NUM_EMBEDDINGS,
    fit_familiarity,
    load_familiarity,
    save_familiarity,
)
from robolearn.policies.ensemble import Ensemble
from robolearn.rollout.environments import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.training.embeddings import embed_demonstrations
from robolearn.training.run import Run
from robolearn.types import Trajectory

RUNS = Path("runs/safety")
SEEDS = range(5)
EXECUTION = Execution(8)
NUM_SAMPLES = 16
EVALUATION, CALIBRATION = 100_000, 700_000
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
    """A task, how long its policies train, and what is changed about it.

    The shifts were chosen on 100 episodes each from seed 300,000 with the first policy, so that some fail.
    """

    env_id: str
    steps: int
    shifts: dict[str, dict[str, float]]


TASKS = {
    "avoid": Task(
        "envs:robolearn/Avoid-v0",
        15_000,
        {"moved obstacle": {"moved": 0.06}, "damping": {"friction": 0.3}, "sensor bias": {"bias": 0.01}},
    ),
    "push": Task(
        "envs:robolearn/Push-v0",
        10_000,
        {"moved goal": {"moved": -0.08}, "mass": {"mass": 3.0}, "sensor bias": {"bias": 0.01}},
    ),
    "insert": Task(
        "envs:robolearn/Insert-v0",
        5_000,
        {"moved slot": {"moved": 0.01}, "friction": {"friction": 0.3}, "sensor bias": {"bias": 0.002}},
    ),
}


def train(task: str, seed: int) -> None:
    """Train one policy with train.py, unless it is there."""
    out = RUNS / task / str(seed)
    if (out / "checkpoints" / "last").exists():
        return
    steps = str(TASKS[task].steps)
    flags = ["--dataset.path", f"datasets/{task}.zarr", "--steps", steps, "--checkpoint-every", steps]
    flags += ["--seed", str(seed), "--threads", "1", "--no-wandb", "--out", str(out), "--overwrite"]
    subprocess.run([sys.executable, "train.py", "cvae", "mlp", *flags], check=True)


def load(task: str, seed: int) -> Ensemble:
    """The five policies of a task, the acting one first; the others are its fellow members."""
    order = [seed, *(other for other in SEEDS if other != seed)]
    return Ensemble.load([Run.open(RUNS / task / str(s)).checkpoint() for s in order])


def fit_scores(task: str, seed: int, ensemble: Ensemble, names: Sequence[str]) -> dict[str, Any]:
    """Those scores that are fitted to demonstrations, from a file where they were fitted before."""
    chosen = [name for name in names if name in FAMILIARITY]
    directory = RUNS / "fitted" / f"{task}-{seed}"
    if not directory.exists():
        trained = Run.open(RUNS / task / str(seed)).config()
        embedded = embed_demonstrations(trained, ensemble, NUM_EMBEDDINGS)
        save_familiarity(directory, fit_familiarity(list(FAMILIARITY), *embedded, seed=seed))
    return load_familiarity(directory, chosen, ensemble.device)


@dataclass(frozen=True)
class Episodes:
    """Rolled-out episodes as arrays.

    Attributes:
        scores: Name -> score at each replanning [e, p]; NaN behind the end.
        plans: Replannings of each episode [e].
        success: Whether each succeeded [e].
    """

    scores: dict[str, np.ndarray]
    plans: np.ndarray
    success: np.ndarray

    @classmethod
    def of(cls, trajectories: Sequence[Trajectory]) -> Episodes:
        """Take what counts from trajectories."""
        plans = np.array([len(next(iter(t.signals.values()))) for t in trajectories])
        names = [name for name in trajectories[0].signals if name in SCORES]
        padded = {name: np.full((len(plans), plans.max()), np.nan) for name in names}
        for i, t in enumerate(trajectories):
            for name, rows in padded.items():
                rows[i, : plans[i]] = t.signals[name]
        return cls(padded, plans, np.array([bool(t.success) for t in trajectories]))


def episodes(task: str, seed: int, shift: str, first: int, count: int) -> Episodes:
    """Watched episodes of a policy, from a file where they were rolled out before.

    Args:
        task: Of TASKS.
        seed: Training seed of the acting policy.
        shift: Of the task's shifts; "none" for the task as it is.
        first: Seed of the first episode.
        count: Episodes.
    """
    path = RUNS / "raw" / f"{task}-{seed}-{shift.replace(' ', '_')}-{first}-{count}.npz"
    if not path.exists():
        ensemble = load(task, seed)
        trajectories = watch(
            ensemble,
            EnvConfig(TASKS[task].env_id, dict(TASKS[task].shifts.get(shift, {}))),
            range(count),
            names=SCORES,
            num_samples=NUM_SAMPLES,
            execution=EXECUTION,
            seed=first,
            fitted=fit_scores(task, seed, ensemble, SCORES),
        )
        found = Episodes.of(trajectories)
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {"plans": found.plans, "success": found.success, **found.scores}
        np.savez_compressed(path, **arrays)
        print(f"{path.stem}: {found.success.mean():.3f} success", flush=True)
    with np.load(path) as file:
        scores = {name: file[name] for name in SCORES}
        return Episodes(scores, file["plans"], file["success"])

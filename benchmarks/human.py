"""Policies from human demonstrations: trained with train.py, evaluated, one row each.

    python -m benchmarks.human pusht DATA.zarr [--out FILE.json]       Push-T, 206 demonstrations
    python -m benchmarks.human door DATA.zarr [--out FILE.json]        Adroit door, 25 demonstrations, imported first

Push-T is evaluated in gym-pusht over 100 seeds (score: mean over episodes of max_t min(coverage / 0.95, 1)) and then in
PushT-v0. The door is rolled out in AdroitHandDoor-v1. Always the last checkpoint. A run that is complete is not trained
again, one that was stopped goes on.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from benchmarks.common import keep, options
from robolearn import seeds
from robolearn.config import to_json
from robolearn.policies.policy import Policy
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.rollout.metrics import summarize
from robolearn.rollout.roll_out import roll_out
from robolearn.starts import effective_starts, groups_of, judged
from robolearn.stats.bootstrap import clustered_mean
from robolearn.stats.proportions import wilson_share
from robolearn.training.run import Run

EPISODES, DRY_EPISODES = 100, 2
DRY = ["--steps", "2", "--batch-size", "8", "--backbone.width", "32"]
DOOR_ANGLE = 28  # index of the door hinge [rad] in AdroitHandDoor-v1's observation


@dataclass(frozen=True)
class Row:
    """One policy: what train.py is given, and where it is evaluated."""

    name: str
    arguments: tuple[str, ...]
    envs: tuple[EnvConfig, ...]


PUSHT = Row(
    "pusht-flow-mlp",
    tuple(
        shlex.split(
            "flow mlp --family.steps 10 --backbone.width 512 --backbone.depth 4 --steps 60000 --lr 5e-4"
            " --weight-decay 1e-4 --ema-decay 0.9995 --dataset.validation-fraction 0.02 --dataset.obs-keys state"
            " --dataset.angles state:4 --exec-horizon 8 --env.id gym_pusht:gym_pusht/PushT-v0"
        )
    ),
    (EnvConfig("gym_pusht:gym_pusht/PushT-v0"), EnvConfig("envs:robolearn/PushT-v0")),
)
DOOR_ENV = EnvConfig("gymnasium_robotics:AdroitHandDoor-v1", max_episode_steps=300)
DOOR_ARGUMENTS = shlex.split(
    "mlp --lr 5e-4 --weight-decay 1e-4 --exec-horizon 8 --env.max-episode-steps 300 --dataset.validation-fraction 0"
)
DOOR_STEPS = {"regression": 10_000, "flow": 40_000, "diffusion": 40_000}  # until the loss hardly falls
DOOR = tuple(
    Row(f"door-{family}-mlp", (family, *DOOR_ARGUMENTS, "--steps", str(steps)), (DOOR_ENV,))
    for family, steps in DOOR_STEPS.items()
)
ROWS = {"pusht": (PUSHT,), "door": DOOR}


def train(row: Row, data: Path, runs: Path, dry: bool) -> tuple[Run, float]:
    """Train or go on; return the run and the wall time [s] spent now."""
    directory, started = runs / row.name, time.perf_counter()
    arguments = ["--resume", str(directory)] if (directory / "checkpoints" / "last").exists() else []
    command = [*row.arguments, "--dataset.path", str(data), "--out", str(directory), "--no-wandb", *arguments]
    command += DRY if dry else []
    subprocess.run([sys.executable, "train.py", *command], check=True)
    return Run.open(directory), time.perf_counter() - started


def measure(row: Row, run: Run, episodes: int) -> list[dict[str, object]]:
    """Roll the last checkpoint out in every environment of the row."""
    results = []
    for env in row.envs:
        policy = Policy.load(run.checkpoint("last"))
        execution = Execution(run.config().exec_horizon)
        trajectories = roll_out(policy, env, range(episodes), execution=execution, seed=seeds.EVALUATION.start)
        summary = summarize(trajectories, num_modes=None, control_dt=run.data().control_dt)
        result: dict[str, object] = {"policy": row.name, "env": env.id, "summary": to_json(summary, {})}
        if env is DOOR_ENV:
            counted = judged(trajectories)
            angles = np.array([t.obs["state"][:, DOOR_ANGLE].max() for t in counted], np.float64)
            opened = wilson_share(float((angles > 1.0).mean()), len(counted), effective_starts(counted))
            widest = clustered_mean(angles, groups_of(counted))
            result |= {"door_above_1_rad": astuple(opened)[:3], "max_door_angle_rad": astuple(widest)[:3]}
        print(json.dumps(result), flush=True)
        results.append(result)
    return results


def main() -> None:
    """Train and measure the rows of one data set."""
    parser = options(__doc__)
    parser.add_argument("task", choices=ROWS)
    parser.add_argument("data", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    args = parser.parse_args()
    episodes = DRY_EPISODES if args.dry_run else EPISODES
    results = []
    for row in ROWS[args.task]:
        run, seconds = train(row, args.data, args.runs, args.dry_run)
        results += [
            {**result, "train_seconds": seconds, "steps": run.config().steps} for result in measure(row, run, episodes)
        ]
    keep(args.out, {"seed": seeds.EVALUATION.start, "episodes": episodes, "results": results})


if __name__ == "__main__":
    main()

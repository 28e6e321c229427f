"""Policies from human demonstrations: trained by their recipes, evaluated, one row each.

    python -m benchmarks.human pusht DATA.zarr [--out FILE.json]       Push-T, 206 demonstrations
    python -m benchmarks.human door DATA.zarr [--out FILE.json]        Adroit door, 25 demonstrations, imported first

Push-T is evaluated in gym-pusht over 100 seeds (score: mean over episodes of max_t min(coverage / 0.95, 1)) and then in
PushT-v0. The door is rolled out in AdroitHandDoor-v1. Always the last checkpoint. A run that is complete is not trained
again, one that was stopped goes on.
"""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import keep, options
from robolearn import seeds, train
from robolearn.config import to_json
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.diffusion import DiffusionConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.policy import Policy
from robolearn.policies.registry import name_of
from robolearn.policies.regression import RegressionConfig
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.rollout.metrics import summarize
from robolearn.rollout.roll_out import roll_out
from robolearn.starts import effective_starts, groups_of, judged
from robolearn.stats.bootstrap import clustered_mean
from robolearn.stats.proportions import wilson_share
from robolearn.training.config import TrainConfig
from robolearn.training.recipes import RECIPES
from robolearn.training.run import Run

EPISODES, DRY_EPISODES = 100, 2
DRY: dict[str, Any] = {"steps": 2, "batch_size": 8, "backbone": MLPConfig(width=32)}
DOOR_ANGLE = 28  # index of the door hinge [rad] in AdroitHandDoor-v1's observation


@dataclass(frozen=True)
class Row:
    """One policy: how it is trained, and where it is evaluated."""

    name: str
    train: TrainConfig
    envs: tuple[EnvConfig, ...]


PUSHT = Row(
    "pusht-flow-mlp",
    RECIPES["pusht"],
    (EnvConfig("gym_pusht:gym_pusht/PushT-v0"), EnvConfig("envs:robolearn/PushT-v0")),
)
DOOR_ENV = EnvConfig("gymnasium_robotics:AdroitHandDoor-v1", max_episode_steps=300)
DOOR_STEPS = {
    RegressionConfig(): 10_000,
    FlowConfig(): 40_000,
    DiffusionConfig(): 40_000,
}  # until the loss hardly falls
DOOR = tuple(
    Row(f"door-{name_of(family)}-mlp", dataclasses.replace(RECIPES["door"], family=family, steps=steps), (DOOR_ENV,))
    for family, steps in DOOR_STEPS.items()
)
ROWS = {"pusht": (PUSHT,), "door": DOOR}


def train_row(row: Row, data: Path, runs: Path, dry: bool) -> tuple[Run, float]:
    """Train or go on; return the run and the wall time [s] spent now."""
    started, run = time.perf_counter(), Run(runs / row.name)
    dataset = dataclasses.replace(row.train.dataset, path=(data,))
    cfg = dataclasses.replace(row.train, dataset=dataset, out=run.directory, wandb=False)
    if dry:
        cfg = dataclasses.replace(cfg, **DRY)
    return train(cfg, resume=run.last_step() is not None), time.perf_counter() - started


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
        run, seconds = train_row(row, args.data, args.runs, args.dry_run)
        results += [
            {**result, "train_seconds": seconds, "steps": run.config().steps} for result in measure(row, run, episodes)
        ]
    keep(args.out, {"seed": seeds.EVALUATION.start, "episodes": episodes, "results": results})


if __name__ == "__main__":
    main()

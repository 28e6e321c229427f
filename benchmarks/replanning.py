"""How much of a chunk is worth executing: trained policies that plan anew after 8, 4, 2 steps, or after every one.

    python -m benchmarks.replanning RUN [RUN ...] [--horizons 8 4 2 1] [--settings heun-10] --out FILE.json

A RUN is one of `benchmarks.recipes`, RUNS/TASK-RECIPE/ROW/compute/99/run: its policy was trained with the seed for
tuning, and starts from the seeds for defaults, so that an exec_horizon may be chosen by what is found. A row that is
sampled in several settings is sampled in those of --settings. The file keeps what it has of other runs. On Insert it
says as well in how many episodes the peg comes to rest while it searches, as no demonstrator's does but to turn round.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import keep, options
from benchmarks.recipes import STATES, line, summary
from envs.insert import TOUCH
from robolearn import seeds
from robolearn.bench.measuring import demonstrated_modes, raw_episodes, roll_out_from
from robolearn.bench.rows import ROWS, TASKS, Row, Setting, Task, choose
from robolearn.config import read_json
from robolearn.errors import UserError, user_errors
from robolearn.policies.policy import Policy
from robolearn.training.run import Run
from robolearn.types import Array, Trajectory

HORIZONS = (8, 4, 2, 1)
SEARCHING, RESTING = 1e-3, 5e-4  # slid so far on Insert's surface [m], and slower than this [m/s]


def task_and_row(directory: Path) -> tuple[Task, Row]:
    """What the path of a unit's run says.

    Raises:
        UserError: It is not the path of one.
    """
    if len(directory.parts) < 5:
        raise UserError(f"{directory} must be RUNS/TASK-RECIPE/ROW/compute/SEED/run, as benchmarks.recipes writes it")
    task, row = directory.parts[-5:-3]
    return choose("task", [task.partition("-")[0]], TASKS)[0], choose("row", [row], ROWS)[0]


def measure(directory: Path, setting: Setting, horizon: int, dry: bool) -> dict[str, Any]:
    """Success, score and mode entropy with intervals over initial states, and the episodes themselves."""
    task, _ = task_and_row(directory)
    run = Run.open(directory)
    policy, modes = Policy.load(run.checkpoint("last"), **setting.runtime), demonstrated_modes(run)
    count, repeats = (2, 2) if dry else (STATES.get(task.name, task.num_states), task.num_repeats)
    trajectories = roll_out_from(seeds.DEFAULTS[:count], policy, run, repeats, horizon)
    episodes = raw_episodes(trajectories, repeats)
    chunks = {"energy": [0.0, 0.0], "outside": [0.0, 0.0], "bridge": [0.0, 0.0]}  # are the same for all horizons
    searched = searches(trajectories) if task.name == "insert" else {}
    return {**summary({"evaluation": episodes, **chunks}, modes), **searched}


def searches(trajectories: list[Trajectory]) -> dict[str, Any]:
    """Of Insert: share of episodes in which the peg rests on the surface in mid-search, and the same of failures."""

    def rests(state: Array) -> bool:
        z, velocity, slid = state[:, 1], state[:, 2], state[:, 9]
        return bool(((abs(z) < TOUCH) & (abs(slid) > SEARCHING) & (abs(velocity) < RESTING)).any())

    rested = np.array([rests(t.obs["state"]) for t in trajectories])
    failed = np.array([not t.success for t in trajectories])
    return {"rested": float(rested.mean()), "failed": int(failed.sum()), "failed_after_rest": int(rested[failed].sum())}


def main() -> None:
    """Measure what is missing, keep it as it comes, and print it."""
    parser = options(__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--horizons", nargs="+", type=int, default=HORIZONS)
    parser.add_argument("--settings", nargs="+", default=[])
    args = parser.parse_args()
    torch.set_num_threads(1)
    results = read_json(args.out)["results"] if args.out and args.out.exists() else {}
    for directory in args.runs:
        _, row = task_and_row(directory)
        for setting in choose("setting", args.settings if len(row.settings) > 1 else [], row.settings):
            for horizon in args.horizons:
                name = f"{directory.parts[-5]} {row.name} {setting.name} {horizon}"
                if name not in results:
                    results[name] = measure(directory, setting, horizon, args.dry_run)
                    keep(args.out, {"results": results}, compact=True)
                print(line(name, results[name]), flush=True)


if __name__ == "__main__":
    with user_errors():
        main()

"""What is it worth to know the reward? `robolearn plan` where rewards are given, as PETS is given them.

    python -m benchmarks.planning_rewards --out docs/results/lecture.json

With rewards that are learned too, planning in what ten trials of Reacher have taught costs half as much again as
planning in the simulator (benchmarks.planning). On the seed for tuning more trials lessened that, and given rewards
removed it from the tenth trial on: learned ones erred where plans led, by up to 0.4 of what rewards vary by. Declared
before the five seeds below were looked at: each way with the defaults of the command but for what the way and the task
name, on the same starts and with the same random episodes; 8 trials of Pendulum, as there, and 20 of Reacher.

* given: five probabilistic networks, TS1, and a function that says the reward of what they predict;
* learned: the same networks, which predict the reward;
* simulator: the environment itself as the model, with the same search.

Reported as there: the return of the second half of the trials, and its cost in that of the simulator with the same
seed. Target: for given at most 1.1, in both environments. Intervals are Student's, over seeds. About two hours of one
core.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import options
from benchmarks.planning import TASKS as BEFORE
from benchmarks.planning import Task, Ways, compare_costs
from robolearn import seeds
from robolearn.errors import user_errors
from robolearn.types import Array

PART, GIVEN = "rewards", "given"
SEEDS = seeds.TRAININGS[10:15]
TRIALS = {"Reacher-v5": 20}
TASKS = tuple(dataclasses.replace(task, trials=TRIALS.get(task.env, task.trials)) for task in BEFORE)
WAYS: dict[str, dict[str, Any]] = {GIVEN: {}, "learned": {}, "simulator": {"model": "simulator"}}
FUNCTIONS = {"Pendulum-v1": "upright", "Reacher-v5": "near"}


def upright(before: Array, actions: Array, after: Array) -> Array:
    """What Pendulum pays: for how it stands and turns before the step, and for the torque."""
    angle = np.arctan2(before[..., 1], before[..., 0])
    return -(angle**2 + 0.1 * before[..., 2] ** 2 + 0.001 * actions[..., 0] ** 2)


def near(before: Array, actions: Array, after: Array) -> Array:
    """What Reacher pays: for the tip's distance from the goal after the step, and for the torques."""
    return -np.linalg.norm(after[..., 8:10], axis=-1) - np.square(actions).sum(-1)


def ways(task: Task) -> Ways:
    """Those of a task."""
    return {**WAYS, GIVEN: {"reward": f"benchmarks.planning_rewards:{FUNCTIONS[task.env]}"}}


def main() -> None:
    """Measure what is not there yet, and show."""
    parser = options(__doc__)
    parser.add_argument("--work", type=Path, default=Path("runs/planning_rewards"), help="folder of runs")
    compare_costs(parser, PART, TASKS, ways, SEEDS)


if __name__ == "__main__":
    with user_errors():
        main()

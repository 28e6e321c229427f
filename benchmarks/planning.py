"""What is planning in a learned model worth, and what part of it: `robolearn plan` beside its controls.

    python -m benchmarks.planning --out docs/results/lecture.json

Declared before anything is measured: in each environment, five seeds of each way to plan, with the defaults of the
command but for what the way names. The same seed has the same starts and the same random episode in all of them.
Target: planning in what was learned (ts1) is within 10 % of planning in the simulator, in two environments.

* ts1, tsinf: five probabilistic networks, particles that ask another one at every step, or the same all along;
* single: one probabilistic network;
* deterministic: five networks that tell a mean alone, so that particles differ by whom they ask;
* simulator: the environment itself as the model, with the same search.

Reported per way: the mean return of each trial, over seeds, and that of the second half of the trials, when what can be
learned was learned. The return has no natural zero (on both tasks it is negative), so what is within 10 % is the
distance from random actions: share = (way - random) / (simulator - random), of these means. Target: at least 0.9.
Intervals are percentiles over seeds (five of them: such intervals cover less than they say).

Every return is kept. What is there is not measured again, and a run that was interrupted goes on. About an hour of one
core.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import options, parsed, part
from robolearn import EnvConfig, PlanConfig, plan, seeds
from robolearn.dynamics.config import ICEMConfig
from robolearn.errors import user_errors
from robolearn.stats.bootstrap import bootstrap
from robolearn.stats.value import Estimate

PART, TARGET = "planning", 0.9
NUM_SEEDS, APART = 5, 1000  # trainings, and how far apart the seeds of their first episodes are
WAYS: dict[str, dict[str, Any]] = {
    "ts1": {"propagation": "ts1"},
    "tsinf": {"propagation": "tsinf"},
    "single": {"num_members": 1},
    "deterministic": {"probabilistic": False},
    "simulator": {"model": "simulator"},
}
DRY: dict[str, Any] = {"search": ICEMConfig(6, 2, 1), "fit_steps": 2, "hidden": 8, "horizon": 2, "trials": 2}


@dataclass(frozen=True)
class Task:
    """Where, and how many trials are planned."""

    env: str
    trials: int


TASKS = (Task("Pendulum-v1", 8), Task("Reacher-v5", 10))


def main() -> None:
    """Measure what is not there yet, and show."""
    parser = options(__doc__)
    parser.add_argument("--work", type=Path, default=Path("runs/planning"), help="folder of runs")
    parser.add_argument("--env", choices=[task.env for task in TASKS], help="by default all")
    args = parsed(parser)
    for task in TASKS:
        if args.env not in (None, task.env):
            continue
        runs: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
        for seed in seeds.TRAININGS[: 2 if args.dry_run else NUM_SEEDS]:
            for way in WAYS:
                work = args.work / f"{task.env}-{way}-{seed}"
                make = partial(measure, task, way, seed, work, dry=args.dry_run)
                runs[way].append(part(args.out, f"{PART}/{task.env}/{way}/{seed}", make))
                print(task.env, way, seed, runs[way][-1]["returns"], flush=True)
        for way, share in shares(runs).items():
            print(f"{task.env} {way}: {share:.2f} of what the simulator gains over random actions")


def measure(task: Task, way: str, seed: int, out: Path, *, dry: bool) -> dict[str, Any]:
    """Returns of a run, and how wrong the models were."""
    few: dict[str, Any] = {"env": EnvConfig(task.env, max_episode_steps=4), **DRY} if dry else {}
    settings = {"env": EnvConfig(task.env), "trials": task.trials, **WAYS[way], **few}
    results = plan(PlanConfig(out=out, seed=seeds.PLANNING[APART * seed], **settings)).results()
    planned = [result for result in results if result.kind == "planned"]
    return {
        "random": [result.total for result in results if result.kind == "random"],
        "returns": [result.total for result in planned],
        "model_errors": [result.model_error for result in planned],
        "reward_errors": [result.reward_error for result in planned],
        "seconds": sum(result.seconds + result.fit_seconds for result in results),
    }


def curve(runs: Sequence[Mapping[str, Any]]) -> list[Estimate]:
    """Mean return of each trial, with intervals over seeds."""
    return [over_seeds(column) for column in np.array([run["returns"] for run in runs]).T]


def late_mean(runs: Sequence[Mapping[str, Any]]) -> Estimate:
    """Mean return of the second half of the trials, with an interval over seeds."""
    return over_seeds(np.array([late_return(run) for run in runs]))


def over_seeds(values: np.ndarray) -> Estimate:
    """Mean with its interval."""
    return bootstrap(values, lambda drawn: drawn.mean(-1))


def shares(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Estimate]:
    """Way -> how much of what the simulator gains over random actions it gains, in the second half of the trials."""
    return {way: share(runs[way], runs["simulator"]) for way in runs}


def share(runs: Sequence[Mapping[str, Any]], simulated: Sequence[Mapping[str, Any]]) -> Estimate:
    """The same of one way, seeds drawn for both together."""
    random = np.array([np.mean(run["random"]) for run in simulated])
    own, best = (np.array([late_return(run) for run in each]) for each in (runs, simulated))

    def gained(drawn: np.ndarray) -> np.ndarray:
        none = random[drawn].mean(-1)
        return (own[drawn].mean(-1) - none) / (best[drawn].mean(-1) - none)

    return bootstrap(np.arange(len(runs)), gained)


def late_return(run: Mapping[str, Any]) -> float:
    """Mean of the second half of the trials."""
    return float(np.mean(run["returns"][len(run["returns"]) // 2 :]))


if __name__ == "__main__":
    with user_errors():
        main()

"""What is planning in a learned model worth, and what part of it: `robolearn plan` beside its controls.

    python -m benchmarks.planning --out docs/results/planning.json

Declared before anything is measured: in each environment, five seeds of each way to plan, with the defaults of the
command but for what the way names. The same seed has the same starts and the same random episode in all of them.

* ts1, tsinf: five probabilistic networks, particles that ask another one at every step, or the same all along;
* single: one probabilistic network;
* deterministic: five networks that tell a mean alone, so that particles differ by whom they ask;
* simulator: the environment itself as the model, with the same search.

The number of a run is the mean return of its planned trials. Reported per way: its mean over seeds, the mean return of
each trial, and the paired difference to ts1, with percentile intervals over seeds (five of them: such intervals cover
less than they say). A difference counts as shown where its interval leaves out 0.

Every return is kept. What is there is not measured again, and a run that was interrupted goes on. About an hour of one
core.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import keep, options
from robolearn import EnvConfig, PlanConfig, plan, seeds
from robolearn.config import read_json, to_json
from robolearn.dynamics.config import ICEMConfig
from robolearn.errors import user_errors
from robolearn.stats.bootstrap import bootstrap
from robolearn.stats.value import Estimate

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
    """Measure what is not there yet, write and show."""
    parser = options(__doc__, default=Path("docs/results/planning.json"))
    parser.add_argument("--work", type=Path, default=Path("runs/planning"), help="folder of runs")
    parser.add_argument("--env", choices=[task.env for task in TASKS], help="by default all")
    args = parser.parse_args()
    pieces = read_json(args.out)["pieces"] if args.out.exists() else {}
    tasks = [task for task in TASKS if args.env in (None, task.env)]
    count = 2 if args.dry_run else NUM_SEEDS
    for task in tasks:
        for seed in seeds.TRAININGS[:count]:
            for way in WAYS:
                name = f"{task.env} {way} {seed}"
                if name not in pieces:
                    pieces[name] = measure(task, way, seed, args.work / name.replace(" ", "-"), dry=args.dry_run)
                    keep(args.out, {"pieces": pieces})
                    print(name, pieces[name]["returns"], flush=True)
    found = {task.env: summary(pieces, task.env) for task in TASKS if f"{task.env} simulator {count - 1}" in pieces}
    keep(args.out, {"summary": to_json(found, {}), "pieces": pieces})
    for env, ways in found.items():
        for way, numbers in ways.items():
            print(f"{env} {way}: {numbers['mean']:.1f}, over ts1 {numbers['over_ts1']:.1f}")


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


def summary(pieces: dict[str, Any], env: str) -> dict[str, dict[str, Any]]:
    """Way -> its mean, that of each trial, and the difference to ts1, with intervals over seeds."""
    returns = {
        way: np.array([p["returns"] for name, p in pieces.items() if name.split()[:2] == [env, way]]) for way in WAYS
    }
    return {
        way: {
            "mean": over_seeds(rows.mean(1)),
            "trials": [over_seeds(column) for column in rows.T],
            "over_ts1": over_seeds(rows.mean(1) - returns["ts1"].mean(1)),
        }
        for way, rows in returns.items()
    }


def over_seeds(values: np.ndarray) -> Estimate:
    """Mean with its interval."""
    return bootstrap(values, lambda drawn: drawn.mean(-1))


if __name__ == "__main__":
    with user_errors():
        main()

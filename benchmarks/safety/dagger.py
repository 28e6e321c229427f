"""Does a policy learn from the interventions of its gate? Recorded under the sensor's bias, mixed with demonstrations.

The expert takes over where a gate on disagreement at alpha 0.1 says so, in 300 episodes from seed 800,000; what it did
in successful ones is a store, and train.py trains anew on both for as many steps. Success without a gate, from the same
200 initial states, before and after, with and without the bias. The control trains as long on the demonstrations alone,
with another seed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.safety.common import EVALUATION, EXECUTION, NUM_SAMPLES, RUNS, TASKS, load
from benchmarks.safety.fallbacks import SCORE, disagreement_gate
from robolearn.guard.calibrate import make_guarded
from robolearn.guard.interventions import record_interventions
from robolearn.policies.policy import Policy
from robolearn.rollout.environments import EnvConfig
from robolearn.rollout.evaluation import evaluate
from robolearn.rollout.paired import paired_difference
from robolearn.safety.summary import clopper_pearson
from robolearn.training.run import Run
from robolearn.types import Trajectory

SHIFT, FIRST, NUM_RECORDED, NUM_EPISODES = "sensor bias", 800_000, 300, 200


def measure_dagger() -> dict[str, Any]:
    """Task -> what was recorded, and success before and after."""
    return {task: _measure(task) for task in ("push", "insert")}


def _measure(task: str) -> dict[str, Any]:
    env = EnvConfig(TASKS[task].env_id, dict(TASKS[task].shifts[SHIFT]))
    store, run = RUNS / "dagger" / f"{task}.zarr", RUNS / "dagger" / task
    ensemble, before = load(task, 0), Run.open(RUNS / task / "0")
    choices = {"names": (SCORE,), "num_samples": NUM_SAMPLES, "gate": disagreement_gate(task), "fallback": "expert"}
    if not run.exists():
        shutil.rmtree(store, ignore_errors=True)
        make = partial(make_guarded, ensemble=ensemble, **choices)
        recorded = evaluate(
            ensemble.members[0], env, range(NUM_RECORDED), execution=EXECUTION, seed=FIRST, make_controller=make
        )
        record_interventions(store, recorded, EXECUTION.period, env, before.data().control_dt)
        _train(task, [Path("datasets") / f"{task}.zarr", store], run)
    after = Policy.load(Run.open(run).checkpoint())
    again = load(task, 1).members[0]
    found: dict[str, Any] = {"recorded": Run.open(run).data().num_episodes - before.data().num_episodes}
    for shift, place in (("none", EnvConfig(env.id)), (SHIFT, env)):
        runs = {
            name: evaluate(policy, place, range(NUM_EPISODES), execution=EXECUTION, seed=EVALUATION)
            for name, policy in (("before", ensemble.members[0]), ("another seed", again), ("after", after))
        }
        found[shift] = {name: _success(of) for name, of in runs.items()}
        gain = paired_difference(_values(runs["after"]), _values(runs["before"]))
        found[shift]["difference"] = {"value": gain.value, "low": gain.low, "high": gain.high}
    print(task, found, flush=True)
    return found


def _train(task: str, stores: list[Path], out: Path) -> None:
    steps = str(TASKS[task].steps)
    flags = ["--dataset.path", *map(str, stores), "--dataset.short-episodes", "pad", "--env.id", TASKS[task].env_id]
    flags += ["--steps", steps, "--checkpoint-every", steps, "--threads", "1", "--no-wandb", "--out", str(out)]
    subprocess.run([sys.executable, "train.py", "cvae", "mlp", *flags], check=True)


def _values(trajectories: list[Trajectory]) -> np.ndarray:
    return np.array([[float(t.success) for t in trajectories]])


def _success(trajectories: list[Trajectory]) -> list[float]:
    share = clopper_pearson(sum(bool(t.success) for t in trajectories), len(trajectories))
    return [share.value, share.low, share.high]

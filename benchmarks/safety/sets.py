"""Tubes around what a chunk is predicted to do, and safety sets in Avoid with a cylinder that was moved.

Tubes are calibrated on episodes of the policy without a set, and tested on others. A set chooses among samples, which
is another controller: its tubes are tested once as calibrated without it, and once calibrated anew with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.safety.common import CALIBRATION, EVALUATION, EXECUTION, TASKS, load
from robolearn.guard.controller import GuardedController
from robolearn.guard.tube import calibrate_set
from robolearn.rollout.environments import EnvConfig
from robolearn.rollout.evaluation import evaluate
from robolearn.rollout.execution import Execution
from robolearn.rollout.paired import paired_difference
from robolearn.safety.certificate import Source
from robolearn.safety.conformal import rank
from robolearn.safety.dynamics import LinearDynamics
from robolearn.safety.sets import SafetySet, chunk_errors, worst_errors
from robolearn.safety.summary import clopper_pearson
from robolearn.safety.tubes import union_tube
from robolearn.types import Trajectory

ALPHA, NUM_EPISODES, NUM_CALIBRATION = 0.1, 300, 400
POSITION = {"avoid": (0, 1), "push": (0, 1), "insert": (0, 1)}
MOVED = (0.0, 0.04, 0.06, 0.08)
CANDIDATES = Execution(8, candidates=32)


def run(
    task: str, first: int, count: int, env: dict[str, Any], execution: Execution, **choices: Any
) -> list[Trajectory]:
    """Episodes of the first policy."""
    make = partial(GuardedController, monitor=None, **choices)
    policy = load(task, 0).members[0]
    place = EnvConfig(TASKS[task].env_id, env)
    return evaluate(policy, place, range(count), execution=execution, seed=first, make_controller=make)


def calibrated(task: str, trajectories: Sequence[Trajectory]) -> SafetySet:
    """A set from episodes."""
    source = Source("", TASKS[task].env_id, "")
    return calibrate_set(trajectories, "state", POSITION[task], EXECUTION.period, ALPHA, source)[0]


def errors_of(task: str, dynamics: LinearDynamics, trajectories: Sequence[Trajectory]) -> list[np.ndarray]:
    """Errors of every whole chunk [m]."""
    return [chunk_errors(t, dynamics, "state", POSITION[task], EXECUTION.period) for t in trajectories]


def covered(task: str, found: SafetySet, trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """Share of episodes that stay inside all their tubes."""
    worst = worst_errors(errors_of(task, found.dynamics, trajectories), found.scale)
    share = clopper_pearson(int((worst <= found.height).sum()), len(worst))
    return {"covered": share.value, "low": share.low, "high": share.high}


def measure_tubes() -> dict[str, Any]:
    """Task -> coverage over whole episodes and mean radius [mm], beside the union bound's."""
    found = {}
    for task in TASKS:
        known = run(task, CALIBRATION + 5000, NUM_CALIBRATION, {}, EXECUTION)
        tube = calibrated(task, known)
        new = run(task, EVALUATION, NUM_EPISODES, {}, EXECUTION)
        # The union bound over the steps of a chunk, with the largest error of an episode at each step.
        worst = np.array([e.max(0) for e in errors_of(task, tube.dynamics, known[1::2]) if len(e)])
        union = union_tube(worst, ALPHA)
        inside = [bool((e <= union).all()) for e in errors_of(task, tube.dynamics, new)]
        n = NUM_CALIBRATION // 2
        found[task] = {
            **covered(task, tube, new),
            "promised": rank(n, ALPHA) / (n + 1),
            "calibration": n,
            "radius_mm": float(1e3 * tube.radius.mean()),
            "last_radius_mm": float(1e3 * tube.radius[-1]),
            "union_covered": float(np.mean(inside)),
            "union_radius_mm": float(1e3 * union.mean()),
            "union_needs": int(np.ceil(EXECUTION.period / ALPHA)) - 1,
        }
        print(task, found[task], flush=True)
    return found


def measure_sets() -> dict[str, Any]:
    """Collisions and successes in Avoid on paired episodes, with and without a set."""
    task = "avoid"
    tube = calibrated(task, run(task, CALIBRATION + 5000, NUM_CALIBRATION, {}, EXECUTION))
    rows = []
    for moved in MOVED:
        env = {"moved": moved}
        with_set = partial(run, task, env=env, execution=CANDIDATES, fallback="hold")
        anew = calibrated(task, with_set(CALIBRATION + 10_000, NUM_CALIBRATION, safety_set=tube))
        named = {
            "one sample": run(task, EVALUATION, NUM_EPISODES, env, EXECUTION),
            "nearest of 32": run(task, EVALUATION, NUM_EPISODES, env, CANDIDATES),
            "set": with_set(EVALUATION, NUM_EPISODES, safety_set=tube),
            "set, calibrated anew": with_set(EVALUATION, NUM_EPISODES, safety_set=anew),
        }
        row: dict[str, Any] = {"moved": moved, **{name: _outcome(runs) for name, runs in named.items()}}
        row["tube as calibrated without the set"] = covered(task, tube, named["set"])
        row["tube calibrated anew"] = covered(task, anew, named["set, calibrated anew"])
        row["success_difference"] = _difference(named["set"], named["one sample"], lambda t: float(t.success))
        row["collision_difference"] = _difference(
            named["set"], named["one sample"], lambda t: float(t.reason == "failure")
        )
        rows.append(row)
        print(row, flush=True)
    return {"radius_mm": (1e3 * tube.radius).tolist(), "rows": rows}


def _outcome(trajectories: Sequence[Trajectory]) -> dict[str, Any]:
    n = len(trajectories)
    hits = clopper_pearson(sum(t.reason == "failure" for t in trajectories), n)
    good = clopper_pearson(sum(bool(t.success) for t in trajectories), n)
    return {"collisions": [hits.value, hits.low, hits.high], "success": [good.value, good.low, good.high]}


def _difference(one: Sequence[Trajectory], other: Sequence[Trajectory], value: Any) -> dict[str, float]:
    first, second = (np.array([[value(t) for t in runs]]) for runs in (one, other))
    found = paired_difference(first, second)
    return {"value": found.value, "low": found.low, "high": found.high}

"""Tubes around what a chunk is predicted to do, and safety sets in Avoid with a cylinder that was moved.

Tubes are calibrated on episodes of the policy without a set, and tested on others. A set chooses among samples, which
is another controller: its tubes are tested once as calibrated without it, and once calibrated again with it, round by
round until the episodes in which one acts ask for no wider tube.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.safety.outcomes import difference, share
from benchmarks.safety.raw import Episodes, Raw, shortened
from benchmarks.safety.study import ALPHA, EXECUTION, FIRST, TASKS, Study, load
from benchmarks.safety.units import Unit
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.rollout.roll_out import roll_out
from robolearn.trust.calibrated_set import CalibratedSet, calibrate_again, calibrate_set
from robolearn.trust.certificate import Source
from robolearn.trust.conformal.thresholds import threshold, threshold_rank
from robolearn.trust.conformal.tubes import union_tube
from robolearn.trust.guarded import GuardedController
from robolearn.trust.sets import Motion, SafetySet, position_errors
from robolearn.types import Array, Trajectory

POSITION = (0, 1)  # of every task's state
MOVED = (0.0, 0.04, 0.06, 0.08)
MAX_ROUNDS = 5
CANDIDATES = Execution(8, candidates=32)


def tube_units(study: Study) -> list[Unit]:
    """Tubes of every task."""
    return [Unit(f"tubes/{task}", partial(_tube, task=task), _trained(study, task)) for task in study.tasks]


def set_units(study: Study) -> list[Unit]:
    """Sets in Avoid, for each way that its cylinder was moved."""
    needs = _trained(study, "avoid")
    return (
        [Unit(f"sets/{moved}", partial(_set, moved=moved), needs) for moved in MOVED] if "avoid" in study.tasks else []
    )


def _trained(study: Study, task: str) -> tuple[str, ...]:
    return tuple(f"trained/{task}/{seed}" for seed in range(study.num_seeds))


def _roll_out(
    study: Study, task: str, first: int, count: int, env: dict[str, Any], execution: Execution, **choices: Any
) -> list[Trajectory]:
    """Episodes of the first policy."""
    return roll_out(
        load(study, task, 0).members[0],
        EnvConfig(TASKS[task].env_id, env),
        range(count),
        execution=execution,
        seed=first,
        make_controller=partial(GuardedController, monitor=None, **choices),
    )


def _calibrated(task: str, trajectories: Sequence[Trajectory]) -> CalibratedSet:
    source = Source("", TASKS[task].env_id, "")
    return calibrate_set(trajectories, "state", POSITION, EXECUTION.period, ALPHA, source)


def _errors(safety_set: SafetySet, trajectories: Sequence[Trajectory]) -> Array:
    """Largest error of each episode at each step of a chunk [e, h], in m; 0 where none was executed."""
    period = EXECUTION.period
    errors = [
        position_errors(Motion.from_trajectory(t, "state"), safety_set.dynamics, POSITION, period) for t in trajectories
    ]
    return np.array([[e[step::period].max(initial=0.0) for step in range(period)] for e in errors])


def _known(study: Study, task: str) -> list[Trajectory]:
    return _roll_out(study, task, FIRST["tube"], study.tube_calibration, {}, EXECUTION)


def _tube(study: Study, task: str) -> dict[str, Any]:
    known = _known(study, task)
    tube = _calibrated(task, known).safety_set
    new = _roll_out(study, task, FIRST["evaluation"], study.set_episodes, {}, EXECUTION)
    return {
        "scale": shortened(tube.scale),
        # Every other one fitted the model and the form.
        "calibration": Episodes.from_trajectories(known[1::2], _errors(tube, known[1::2])),
        "new": Episodes.from_trajectories(new, _errors(tube, new)),
    }


def _set(study: Study, moved: float) -> dict[str, Any]:
    first_set = _calibrated("avoid", _known(study, "avoid"))
    tube = first_set.safety_set
    env = {"moved": moved}
    with_set = partial(_roll_out, study, "avoid", env=env, execution=CANDIDATES, fallback="hold")
    again = _confirm(first_set, with_set, study.tube_calibration // 2)
    anew = again.safety_set
    bare = dataclasses.replace(tube, height=0.0)
    first, count = FIRST["evaluation"], study.set_episodes
    chosen = with_set(first, count, safety_set=tube)
    chosen_anew = with_set(first, count, safety_set=anew)
    return {
        "scale": shortened(tube.scale),
        "height": tube.height,
        "scale anew": shortened(anew.scale),
        "height anew": anew.height,
        "rounds": again.calibration.round,
        "confirmed": again.confirmed,
        "one sample": Episodes.from_trajectories(_roll_out(study, "avoid", first, count, env, EXECUTION)),
        "nearest of 32": Episodes.from_trajectories(_roll_out(study, "avoid", first, count, env, CANDIDATES)),
        "without radius": Episodes.from_trajectories(with_set(first, count, safety_set=bare)),
        "set": Episodes.from_trajectories(chosen, _errors(tube, chosen)),
        "set, calibrated anew": Episodes.from_trajectories(chosen_anew, _errors(anew, chosen_anew)),
    }


def _confirm(calibrated: CalibratedSet, with_set: Callable[..., list[Trajectory]], count: int) -> CalibratedSet:
    """Calibrate again on episodes in which the set acts, until they ask for no wider tube or the rounds are over."""
    for number in range(MAX_ROUNDS):
        trajectories = with_set(FIRST["set"] + number * count, count, safety_set=calibrated.safety_set)
        calibrated = calibrate_again(calibrated, trajectories, calibrated.calibration.source)
        if calibrated.confirmed:
            break
    return calibrated


def tube_figures(raw: Raw, tasks: tuple[str, ...]) -> dict[str, Any]:
    """Task -> coverage over whole episodes and mean radius [mm], beside the union bound's."""
    return {task: _tube_figures(raw, f"tubes/{task}") for task in tasks if raw.has(f"tubes/{task}")}


def _tube_figures(raw: Raw, unit: str) -> dict[str, Any]:
    scale = raw[f"{unit}/scale"].astype(float)
    known, new = (_tube_errors(raw.episodes(f"{unit}/{name}")) for name in ("calibration", "new"))
    height = threshold((known / scale).max(1), ALPHA)
    # The union bound over the steps of a chunk, with the largest error of an episode at each step.
    union = union_tube(known[known.any(1)], ALPHA)
    n = len(known)
    return {
        "covered": share(np.asarray((new / scale).max(1) <= height)),
        "promised": threshold_rank(n, ALPHA) / (n + 1),
        "calibration": n,
        "radius_mm": float(1e3 * height * scale.mean()),
        "last_radius_mm": float(1e3 * height * scale[-1]),
        "union_covered": share(np.asarray((new <= union).all(1))),
        "union_radius_mm": float(1e3 * union.mean()),
        "union_needs": int(np.ceil(len(scale) / ALPHA)) - 1,
    }


def _tube_errors(episodes: Episodes) -> Array:
    assert episodes.errors is not None, "of a tube"
    return episodes.errors.astype(float)


def set_figures(raw: Raw, tasks: tuple[str, ...]) -> dict[str, Any]:
    """Collisions and successes in Avoid on paired episodes, with and without a set; and how its tubes hold."""
    rows = [_set_figures(raw, f"sets/{moved}", moved) for moved in MOVED if raw.has(f"sets/{moved}")]
    return {"rows": rows} if rows and "avoid" in tasks else {}


def _set_figures(raw: Raw, unit: str, moved: float) -> dict[str, Any]:
    names = ("one sample", "nearest of 32", "without radius", "set", "set, calibrated anew")
    named = {name: raw.episodes(f"{unit}/{name}") for name in names}

    def inside(name: str, suffix: str) -> list[float]:
        worst = (_tube_errors(named[name]) / raw[f"{unit}/scale{suffix}"].astype(float)).max(1)
        return share(worst <= float(raw[f"{unit}/height{suffix}"]))

    return {
        "moved": moved,
        "radius_mm": (1e3 * float(raw[f"{unit}/height"]) * raw[f"{unit}/scale"].astype(float)).tolist(),
        **{
            name: {"collisions": share(episodes.failure), "success": share(episodes.success)}
            for name, episodes in named.items()
        },
        "tube as calibrated without the set": inside("set", ""),
        "tube calibrated anew": inside("set, calibrated anew", " anew"),
        "rounds": int(raw[f"{unit}/rounds"]),
        "confirmed": bool(raw[f"{unit}/confirmed"]),
        "success_difference": difference(named["set"].success, named["one sample"].success),
        "collision_difference": difference(named["set"].failure, named["one sample"].failure),
        "radius_difference": difference(named["set"].failure, named["without radius"].failure),
    }

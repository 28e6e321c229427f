"""What each fallback makes of the alarms of a gate as `calibrate` makes it: disagreement, alpha 0.1, no limit.

The first policy of each task without shift and with the sensor's bias, 200 episodes from the same initial states.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.safety.outcomes import share
from benchmarks.safety.raw import Episodes, Raw, load_unit
from benchmarks.safety.study import BIAS, EXECUTION, FIRST, NUM_SAMPLES, Study, environment, load
from benchmarks.safety.units import Unit
from benchmarks.safety.watched import find, watched
from robolearn.rollout.roll_out import roll_out
from robolearn.trust.calibrated_gate import ThresholdCalibration
from robolearn.trust.certificate import Source
from robolearn.trust.gate import Gate
from robolearn.trust.guarded import make_guarded

SCORE = "disagreement"
FALLBACKS = ("watch", "hold", "replan", "retreat", "expert", "stop")
SHIFTS = ("none", BIAS)


def disagreement_gate(study: Study, task: str) -> Gate:
    """The gate of the first policy, from its calibration episodes."""
    unit = watched(task, 0, "none", "calibration")
    calm = find(load_unit(study.root, unit), task, 0, "none", "calibration")
    peaks = np.nanmax(calm.padded(SCORE), 1)
    seeds = range(FIRST["calibration"], FIRST["calibration"] + len(peaks))
    source = Source("", str(environment(task).id), "")
    episodes = (tuple(seeds), tuple(peaks.tolist()), tuple(calm.success.tolist()))
    return ThresholdCalibration(source, SCORE, NUM_SAMPLES, study.alpha, None, *episodes).derive_gate()


def _name(task: str, shift: str, fallback: str) -> str:
    return f"fallbacks/{task}/{shift.replace(' ', '_')}/{fallback}"


def fallback_units(study: Study) -> list[Unit]:
    """Every fallback in every task, with and without the bias."""
    return [
        Unit(
            _name(task, shift, fallback),
            partial(_roll_out, task=task, shift=shift, fallback=fallback),
            (watched(task, 0, "none", "calibration"),),
        )
        for task in study.tasks
        for shift in SHIFTS
        for fallback in FALLBACKS
    ]


def _roll_out(study: Study, task: str, shift: str, fallback: str) -> dict[str, Any]:
    ensemble = load(study, task, 0)
    choices = {"names": (SCORE,), "num_samples": NUM_SAMPLES, "gate": disagreement_gate(study, task)}
    make = partial(make_guarded, ensemble=ensemble, fallback=fallback, **choices)
    runs = roll_out(
        ensemble.members[0],
        environment(task, shift),
        range(study.episodes),
        execution=EXECUTION,
        seed=FIRST["evaluation"],
        make_controller=make,
    )
    return Episodes.from_trajectories(runs).arrays()


def fallback_figures(raw: Raw, tasks: tuple[str, ...]) -> dict[str, Any]:
    """Task -> shift -> fallback -> success, failures and steps under intervention, of those that are there."""
    return {
        task: {
            shift: {fallback: _judge(raw.episodes(name)) for fallback, name in there.items()}
            for shift in SHIFTS
            if (there := {f: _name(task, shift, f) for f in FALLBACKS if raw.has(_name(task, shift, f))})
        }
        for task in tasks
    }


def _judge(episodes: Episodes) -> dict[str, Any]:
    return {
        "success": share(episodes.success),
        "failures": float(episodes.failure.mean()),
        "intervened": episodes.intervened_share(),
    }

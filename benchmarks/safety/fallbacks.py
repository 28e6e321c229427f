"""What each fallback makes of the alarms of a gate as `calibrate` makes it: disagreement, alpha 0.1, no limit.

The first policy of each task without shift and with the sensor's bias, 200 episodes from the same initial states.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np

from benchmarks.safety.common import CALIBRATION, EVALUATION, EXECUTION, NUM_SAMPLES, RUNS, TASKS, episodes, load
from robolearn.config import write_json
from robolearn.guard.calibrate import make_guarded
from robolearn.rollout.environments import EnvConfig
from robolearn.rollout.evaluation import evaluate
from robolearn.safety.certificate import Calibration, derive_gate
from robolearn.safety.gate import Gate
from robolearn.safety.summary import clopper_pearson, intervened_share

SCORE, ALPHA, NUM_EPISODES = "disagreement", 0.1, 200
FALLBACKS = ("watch", "hold", "replan", "retreat", "expert", "stop")
SHIFTS = ("none", "sensor bias")


def disagreement_gate(task: str) -> Gate:
    """The gate of the first policy, from its calibration episodes."""
    calm = episodes(task, 0, "none", CALIBRATION, 200)
    peaks = np.nanmax(calm.scores[SCORE], 1)
    seeds = range(CALIBRATION, CALIBRATION + len(peaks))
    calibration = Calibration(tuple(seeds), tuple(peaks.tolist()), tuple(calm.success.tolist()))
    return derive_gate(calibration, ALPHA, SCORE, NUM_SAMPLES)


def measure_fallbacks() -> dict[str, Any]:
    """Task -> shift -> fallback -> success and steps under intervention; what is done is read from its file."""
    found: dict[str, Any] = {}
    for task, definition in TASKS.items():
        ensemble, found[task] = load(task, 0), {}
        gate = disagreement_gate(task)
        for shift in SHIFTS:
            path = RUNS / "raw" / f"fallbacks-{task}-{shift.replace(' ', '_')}.json"
            if not path.exists():
                choices = {"names": (SCORE,), "num_samples": NUM_SAMPLES, "gate": gate}
                env = EnvConfig(definition.env_id, dict(definition.shifts.get(shift, {})))
                rows = {}
                for fallback in FALLBACKS:
                    make = partial(make_guarded, ensemble=ensemble, fallback=fallback, **choices)
                    runs = evaluate(
                        ensemble.members[0],
                        env,
                        range(NUM_EPISODES),
                        execution=EXECUTION,
                        seed=EVALUATION,
                        make_controller=make,
                    )
                    share = clopper_pearson(sum(bool(t.success) for t in runs), len(runs))
                    rows[fallback] = {
                        "success": [share.value, share.low, share.high],
                        "failures": float(np.mean([t.reason == "failure" for t in runs])),
                        "intervened": intervened_share(runs, EXECUTION.period),
                    }
                write_json(path, rows)
                print(path, flush=True)
            found[task][shift] = json.loads(path.read_text())
    return found

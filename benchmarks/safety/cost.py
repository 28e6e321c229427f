"""What a score and a gate cost at each replanning, beside the policy's own time."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from benchmarks.safety.raw import Raw, save_unit, unit_path
from benchmarks.safety.study import EXECUTION, FIRST, NUM_SAMPLES, SCORES, Study, environment, fitted_at, load
from benchmarks.safety.units import made_on
from robolearn.rollout.latency import measure_latency
from robolearn.trust.calibrate import watch
from robolearn.trust.gate import Gate
from robolearn.trust.guard import time_gate
from robolearn.trust.scores.fitted import load_fitted

TIMES = ("p50_ms", "p99_ms")
TASK = "avoid"


def measure_cost(study: Study) -> None:
    """p50 and p99 [ms] of one environment on one thread: the policy's chunk, and each score with its gate.

    By itself, when nothing else runs.
    """
    if unit_path(study.root, "cost").exists() or TASK not in study.tasks:
        return
    torch.set_num_threads(1)
    ensemble = load(study, TASK, 0)
    fitted = load_fitted(fitted_at(study, TASK, 0), SCORES, ensemble.device)
    choices = {"names": ("entropy",), "num_samples": NUM_SAMPLES, "execution": EXECUTION, "seed": FIRST["evaluation"]}
    trajectory = watch(ensemble, environment(TASK), range(1), **choices)[0]
    times = {"policy": measure_latency(ensemble.members[0], trajectory, repeats=study.repeats)}
    for name in SCORES:
        gate = Gate(name, NUM_SAMPLES, 1.0, 1.0)
        times[name] = time_gate(gate, ensemble, fitted, trajectory, EXECUTION.period, study.repeats)
    kept = {name: np.array([latency[key] for key in TIMES]) for name, latency in times.items()}
    save_unit(study.root, "cost", {**kept, "made": made_on()})


def cost_figures(raw: Raw, tasks: tuple[str, ...]) -> dict[str, Any]:
    """Policy and score -> p50 and p99 [ms]."""
    if not raw.has("cost"):
        return {}
    return {name: dict(zip(TIMES, raw[f"cost/{name}"].tolist(), strict=True)) for name in ("policy", *SCORES)}

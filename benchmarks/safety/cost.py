"""What a score and a gate cost at each replanning, beside the policy's own time."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.safety.common import EVALUATION, EXECUTION, NUM_SAMPLES, SCORES, TASKS, fit_scores, load
from robolearn.guard.calibrate import watch
from robolearn.guard.guard import time_gate
from robolearn.rollout.environments import EnvConfig
from robolearn.rollout.evaluation import measure_latency
from robolearn.safety.gate import Gate

REPEATS = 300


def measure_cost(task: str = "avoid") -> dict[str, Any]:
    """p50 and p99 [ms] of one environment on one thread: the policy's chunk, and each score with its gate."""
    torch.set_num_threads(1)
    ensemble = load(task, 0)
    fitted = fit_scores(task, 0, ensemble, SCORES)
    env = EnvConfig(TASKS[task].env_id)
    choices = {"names": ("entropy",), "num_samples": NUM_SAMPLES, "execution": EXECUTION, "seed": EVALUATION}
    trajectory = watch(ensemble, env, range(1), **choices)[0]
    policy = measure_latency(ensemble.members[0], trajectory, repeats=REPEATS)
    found: dict[str, Any] = {"task": task, "policy": {name: policy[name] for name in ("p50_ms", "p99_ms")}}
    for name in SCORES:
        gate = Gate(name, NUM_SAMPLES, 1.0, 1.0)
        found[name] = time_gate(gate, ensemble, fitted, trajectory, EXECUTION.period, REPEATS)
    return found

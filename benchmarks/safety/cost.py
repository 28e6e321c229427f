"""What a score and a gate cost at each replanning, beside the policy's own time."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from benchmarks.safety.common import EVALUATION, EXECUTION, NUM_SAMPLES, SCORES, TASKS, fit_scores, load
from robolearn.guard.calibrate import watch
from robolearn.guard.monitor import Monitor
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
    obs = {key: value[None, :2] for key, value in trajectory.obs.items()}
    cfg = ensemble.cfg
    chunk = np.zeros((1, cfg.action_horizon, cfg.action_dim), np.float32)
    for name in SCORES:
        monitor = Monitor(ensemble, (name,), NUM_SAMPLES, 1, seed=0, period=EXECUTION.period, fitted=fitted)
        monitor.reset([0], [0])
        gate, seconds = Gate(name, NUM_SAMPLES, 1.0, 1.0), []
        for _ in range(REPEATS + 20):
            started = time.perf_counter()
            scores, _ = monitor.watch(np.array([0]), obs, chunk)
            gate.intervenes(scores[name], np.array([False]))
            seconds.append(time.perf_counter() - started)
        p50, p99 = np.percentile(seconds[20:], [50, 99]) * 1e3
        found[name] = {"p50_ms": float(p50), "p99_ms": float(p99)}
    return found

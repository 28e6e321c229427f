"""How long a policy takes to plan: the time of a call, and that of a chunk from an observation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from robolearn import seeds
from robolearn.policies.policy import Policy
from robolearn.types import Trajectory, is_image


@torch.inference_mode()
def measure_latency(
    policy: Policy, trajectory: Trajectory, repeats: int = 100, candidates: int = 1
) -> dict[str, float]:
    """Time from one observation to one action chunk, or to several candidates in one batch.

    Args:
        policy: In evaluation mode.
        trajectory: Supplies the observation but its images.
        repeats: Timed calls, after ten more to warm up.
        candidates: Chunks per call.

    Returns:
        p50_ms, p99_ms, nfe (network evaluations per chunk) and parameters.
    """
    times = time_calls(planning(policy, trajectory, candidates), repeats)
    parameters = sum(p.numel() for p in policy.parameters())
    return {**times, "nfe": policy.family.nfe, "parameters": parameters}


def planning(policy: Policy, trajectory: Trajectory, candidates: int = 1) -> Callable[[], object]:
    """A call that plans from one observation; see measure_latency."""
    generator = torch.Generator(policy.device).manual_seed(seeds.FIXED)
    rows = np.zeros((candidates, policy.cfg.obs_horizon), int)
    blank = {k: np.zeros((1, *shape), np.uint8) for k, shape in policy.cfg.obs_shapes.items() if is_image(shape)}
    obs = {k: torch.from_numpy(v[rows]).float().to(policy.device) for k, v in (trajectory.obs | blank).items()}
    return lambda: policy.act(obs, policy.family.noise(candidates, generator=generator)).cpu()


def time_calls(call: Callable[[], object], repeats: int) -> dict[str, float]:
    """p50_ms and p99_ms of a call, after ten more to warm up."""
    return times_in_turn([call], repeats)[0]


def times_in_turn(calls: Sequence[Callable[[], object]], repeats: int) -> list[dict[str, float]]:
    """p50_ms and p99_ms of each call. They take turns, so that whatever else the machine does strikes all alike."""
    seconds = np.zeros((repeats + 10, len(calls)))
    for row in seconds:
        for number, call in enumerate(calls):
            started = time.perf_counter()
            call()
            row[number] = time.perf_counter() - started
    p50, p99 = np.percentile(seconds[10:], [50, 99], axis=0) * 1e3
    return [{"p50_ms": float(half), "p99_ms": float(most)} for half, most in zip(p50, p99, strict=True)]

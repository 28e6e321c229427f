"""How long a policy takes to plan: the time of a call, and that of a chunk from an observation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from robolearn import seeds
from robolearn.policies.policy import Policy
from robolearn.rollout.busy import CoreWait
from robolearn.types import Trajectory, is_image

WARM_UP, REPEATS = 10, 100  # calls


@torch.inference_mode()
def measure_latency(
    policy: Policy, trajectory: Trajectory, repeats: int | None = None, candidates: int = 1
) -> dict[str, float]:
    """Time from one observation to one action chunk, or to several candidates in one batch.

    Args:
        policy: In evaluation mode.
        trajectory: Supplies the observation but its images.
        repeats: Timed calls, after ten more to warm up; by default `REPEATS`.
        candidates: Chunks per call.

    Returns:
        What time_calls says, nfe (network evaluations per chunk) and parameters.
    """
    times = time_calls(planning(policy, trajectory, candidates), repeats or REPEATS)
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
    """How long a call takes, after ten more to warm up.

    Returns:
        p50_ms and p99_ms by the clock; cpu_ms, the median CPU time of all threads; and where the system tells it
        waited, the share of the time without a core (see busy.py).
    """
    return times_in_turn([call], repeats)[0]


def times_in_turn(calls: Sequence[Callable[[], object]], repeats: int) -> list[dict[str, float]]:
    """The same of each call. They take turns, so that whatever else the machine does strikes all alike."""
    clocks = time.perf_counter, time.process_time
    seconds = np.zeros((WARM_UP + repeats, len(calls), len(clocks)))
    wait = CoreWait()
    for number, row in enumerate(seconds):
        if number == WARM_UP:
            wait = CoreWait()
        for one, call in zip(row, calls, strict=True):
            started = [clock() for clock in clocks]
            call()
            one[:] = [clock() - begun for clock, begun in zip(clocks, started, strict=True)]
    share = wait.share()
    waited = {} if share is None else {"waited": share}
    (p50, cpu), (p99, _) = (np.percentile(seconds[WARM_UP:], [50, 99], axis=0) * 1e3).swapaxes(1, 2)
    return [
        {"p50_ms": float(half), "p99_ms": float(most), "cpu_ms": float(of_cpu), **waited}
        for half, most, of_cpu in zip(p50, p99, cpu, strict=True)
    ]

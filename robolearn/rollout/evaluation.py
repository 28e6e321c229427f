"""Evaluate a policy in an environment: the one way in which train.py, eval.py and the benchmarks roll out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from robolearn import seeds
from robolearn.errors import warned
from robolearn.policies.policy import Policy
from robolearn.rollout.chunked import make_envs
from robolearn.rollout.controller import Controller
from robolearn.rollout.engine import rollout
from robolearn.rollout.environments import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.types import Trajectory, is_image


def evaluate(
    policy: Policy,
    env: EnvConfig,
    episodes: Sequence[int],
    *,
    execution: Execution,
    seed: int,
    repeats: int = 1,
    num_envs: int = 32,
    on_done: Callable[[Trajectory], Any] | None = None,
    make_controller: Callable[..., Controller] = Controller,
) -> list[Trajectory]:
    """Roll out episodes; see rollout and Controller.

    Args:
        policy: In evaluation mode.
        env: Where.
        episodes: Indices.
        execution: How chunks are executed, with an exec_horizon.
        seed: Episode i starts from ``reset(seed=seed + i // repeats)``.
        repeats: Episodes that share an initial state; each has its own noise, which depends on (seed, i) only.
        num_envs: Environments side by side; does not change the result.
        on_done: Called with every finished trajectory.
        make_controller: Takes what Controller takes; one with a gate, for example.
    """
    num_envs = max(1, min(num_envs, len(episodes)))
    controller = make_controller(policy, num_envs, execution, seed=seed)
    sees = any(map(is_image, policy.cfg.obs_shapes.values()))
    envs = make_envs(env, num_envs, tuple(policy.cfg.obs_shapes), policy.cfg.obs_horizon if sees else 0)
    try:
        envs = controller.attach(envs)
        return rollout(envs, controller, episodes, repeats=repeats, max_steps=env.max_episode_steps, on_done=on_done)
    finally:
        with warned("closing the environments"):
            envs.close()


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
    generator = torch.Generator(policy.device).manual_seed(seeds.FIXED)
    rows = np.zeros((candidates, policy.cfg.obs_horizon), int)
    blank = {k: np.zeros((1, *shape), np.uint8) for k, shape in policy.cfg.obs_shapes.items() if is_image(shape)}
    obs = {k: torch.from_numpy(v[rows]).float().to(policy.device) for k, v in (trajectory.obs | blank).items()}
    times = time_calls(lambda: policy.act(obs, policy.family.noise(candidates, generator=generator)).cpu(), repeats)
    parameters = sum(p.numel() for p in policy.parameters())
    return {**times, "nfe": policy.family.nfe, "parameters": parameters}


def time_calls(call: Callable[[], Any], repeats: int) -> dict[str, float]:
    """p50_ms and p99_ms of a call, after ten more to warm up."""
    seconds = []
    for _ in range(repeats + 10):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    p50, p99 = np.percentile(seconds[10:], [50, 99]) * 1e3
    return {"p50_ms": float(p50), "p99_ms": float(p99)}

"""Evaluate a policy in an environment: the one way in which train.py, eval.py and the benchmarks roll out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from robolearn.policies.policy import Policy
from robolearn.rollout.chunked import make_envs
from robolearn.rollout.controller import Controller
from robolearn.rollout.engine import rollout
from robolearn.rollout.environments import EnvConfig
from robolearn.types import Trajectory, is_image


def evaluate(
    policy: Policy,
    env: EnvConfig,
    episodes: Sequence[int],
    *,
    exec_horizon: int,
    seed: int,
    repeats: int = 1,
    num_envs: int = 32,
    ensembling: float | None = None,
    on_done: Callable[[Trajectory], Any] | None = None,
) -> list[Trajectory]:
    """Roll out episodes; see rollout and Controller.

    Args:
        policy: In evaluation mode.
        env: Where.
        episodes: Indices.
        exec_horizon: Actions executed before replanning.
        seed: Episode i starts from ``reset(seed=seed + i // repeats)``.
        repeats: Episodes that share an initial state; each has its own noise, which depends on (seed, i) only.
        num_envs: Environments side by side; does not change the result.
        ensembling: Decay of temporal ensembling, or None.
        on_done: Called with every finished trajectory.
    """
    num_envs = max(1, min(num_envs, len(episodes)))
    controller = Controller(policy, num_envs, exec_horizon, seed=seed, ensembling=ensembling)
    sees = any(map(is_image, policy.cfg.obs_shapes.values()))
    envs = make_envs(env, num_envs, tuple(policy.cfg.obs_shapes), policy.cfg.obs_horizon if sees else 0)
    try:
        return rollout(envs, controller, episodes, repeats=repeats, max_steps=env.max_episode_steps, on_done=on_done)
    finally:
        envs.close()


@torch.inference_mode()
def measure_latency(policy: Policy, trajectory: Trajectory, repeats: int = 100) -> dict[str, float]:
    """Time from observation to action chunk at batch 1.

    Args:
        policy: In evaluation mode.
        trajectory: Supplies the observation but its images.
        repeats: Timed calls, after ten more to warm up.

    Returns:
        p50_ms, p99_ms, nfe (network evaluations per chunk) and parameters.
    """
    generator = torch.Generator(policy.device).manual_seed(0)
    rows = np.zeros(policy.cfg.obs_horizon, int)
    blank = {k: np.zeros((1, *shape), np.uint8) for k, shape in policy.cfg.obs_shapes.items() if is_image(shape)}
    obs = {k: torch.from_numpy(v[rows]).float()[None].to(policy.device) for k, v in (trajectory.obs | blank).items()}
    seconds = []
    for _ in range(repeats + 10):
        started = time.perf_counter()
        policy.act(obs, policy.family.noise(1, generator=generator)).cpu()
        seconds.append(time.perf_counter() - started)
    p50, p99 = np.percentile(seconds[10:], [50, 99]) * 1e3
    parameters = sum(p.numel() for p in policy.parameters())
    return {"p50_ms": float(p50), "p99_ms": float(p99), "nfe": policy.family.nfe, "parameters": parameters}

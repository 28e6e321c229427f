"""Many environments behind one interface that takes whole chunks of actions.

Our own tasks step a chunk of all environments in one call; any other gymnasium environment gets a loop. In both,
an environment that ends inside a chunk stops there, and one that breaks ends its own episode only.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
from gymnasium.envs.registration import load_env_creator

from robolearn.rollout.environments import EnvConfig, check_obs_keys, make_env, require_id
from robolearn.rollout.loop import LoopEnvs
from robolearn.types import Array


@runtime_checkable
class Chunk(Protocol):
    """What one call of ``step_chunk`` gives back, for n environments and h steps.

    Entries after the step at which an environment ended mean nothing; ``num_steps`` says how many are valid.
    """

    @property
    def obs(self) -> dict[str, Array]:
        """Key -> [n, h, ...]; images may be [n, k, ...], of the last k valid steps (of all, if fewer)."""
        ...

    @property
    def rewards(self) -> Array:
        """[n, h]."""
        ...

    @property
    def terminated(self) -> Array:
        """[n, h]."""
        ...

    @property
    def truncated(self) -> Array:
        """[n, h]."""
        ...

    @property
    def num_steps(self) -> Array:
        """[n]; 0 for inactive environments and for those whose first step broke."""
        ...

    @property
    def info(self) -> dict[str, Array]:
        """success, score, mode, unstable: [n, h]."""
        ...


@runtime_checkable
class ChunkedEnvs(Protocol):
    """Environments that the engine can drive."""

    num_envs: int

    def reset(self, *, seed: list[int | None], options: dict[str, Any]) -> tuple[dict[str, Array], dict[str, Any]]:
        """Start the environments in ``options["reset_mask"]`` anew; the others return their present."""
        ...

    def step_chunk(self, actions: Array, active: Array) -> Chunk:
        """Step every active environment through up to h actions, [n, h, a]."""
        ...

    def close(self, **kwargs: Any) -> None:
        """Free resources."""
        ...


def make_envs(cfg: EnvConfig, num_envs: int, obs_keys: tuple[str, ...], num_frames: int | None = None) -> ChunkedEnvs:
    """Make ``num_envs`` copies of an environment.

    Args:
        cfg: Which environment.
        num_envs: Copies.
        obs_keys: What the policy needs; names the observation where the environment's is a plain array.
        num_frames: Images of so many last steps of a chunk are enough; None for all.

    Raises:
        ValueError: The id is unknown, its package is missing, or it has other observations.
    """
    if not _has_vector_driver(cfg):
        return LoopEnvs(cfg, num_envs, obs_keys)
    kwargs: dict[str, Any] = {"num_frames": num_frames, **cfg.kwargs}
    envs: Any = gym.make_vec(require_id(cfg), num_envs=num_envs, **kwargs)
    check_obs_keys(cfg, envs.single_observation_space, obs_keys)
    return envs


def _has_vector_driver(cfg: EnvConfig) -> bool:
    env = make_env(cfg)
    assert env.spec is not None
    env.close()
    driver = env.spec.vector_entry_point
    return hasattr(load_env_creator(driver) if isinstance(driver, str) else driver, "step_chunk")

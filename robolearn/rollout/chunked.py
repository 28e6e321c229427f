"""Many environments behind one interface that takes whole chunks of actions.

Our own tasks step a chunk of all environments in one call; any other gymnasium environment gets a loop. In both,
an environment that ends inside a chunk stops there, and one that breaks ends its own episode only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import load_env_creator

from robolearn.rollout.contract import Interface
from robolearn.rollout.environments import EnvConfig, find_spec, making, require_id
from robolearn.rollout.loop import LoopEnvs
from robolearn.starts import START_INFO, start_of
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
        """Start the environments in ``options["reset_mask"]`` anew; the others return their present.

        The second value may hold START_INFO, a fingerprint of each environment's whole first observation, where the
        first value is not all that there is to see.
        """
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
    with making(cfg):
        envs: Any = gym.make_vec(require_id(cfg), num_envs=num_envs, **kwargs)
    interface_of(cfg, envs, obs_keys)
    return envs


def reset_some(envs: ChunkedEnvs, seeds: Mapping[int, int]) -> tuple[dict[str, Array], dict[int, str]]:
    """Start some environments anew.

    Args:
        envs: Environments.
        seeds: Of each environment that is to start, by its index.

    Returns:
        Observations of all environments, and the fingerprint of the start of each that was started, empty where it
        broke.
    """
    given: list[int | None] = [seeds.get(slot) for slot in range(envs.num_envs)]
    obs, info = envs.reset(seed=given, options={"reset_mask": np.isin(np.arange(envs.num_envs), list(seeds))})
    whole = info.get(START_INFO)
    if whole is None:
        return obs, {slot: start_of({key: value[slot] for key, value in obs.items()}) for slot in seeds}
    return obs, {slot: whole[slot] for slot in seeds}


def interface_of(cfg: EnvConfig, envs: Any, obs_keys: tuple[str, ...]) -> Interface:
    """The spaces of one of the environments that ``make_envs`` made.

    Raises:
        ValueError: Observations are missing, or are no arrays of numbers.
    """
    if isinstance(envs, LoopEnvs):
        return envs.interface
    return Interface.of(cfg, envs.single_observation_space, envs.single_action_space, obs_keys, None)


def _has_vector_driver(cfg: EnvConfig) -> bool:
    spec = find_spec(cfg)
    if spec is None or spec.vector_entry_point is None:
        return False
    driver = spec.vector_entry_point
    with making(cfg):
        return hasattr(load_env_creator(driver) if isinstance(driver, str) else driver, "step_chunk")

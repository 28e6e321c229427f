"""Environments by gymnasium id, all behind one interface that takes whole chunks.

Our own tasks step a chunk of all environments in one call; any other gymnasium environment gets a loop. In both,
an environment that ends inside a chunk stops there, and one that breaks ends its own episode only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import load_env_creator

from robolearn.types import Array


@dataclass(frozen=True)
class EnvConfig:
    """Which environment, as gymnasium spells it."""

    id: str | None = None
    """Gymnasium id with the module that registers it, envs:robolearn/Avoid-v0; by default the data's."""
    kwargs: dict[str, int | float | bool | str] = field(default_factory=dict)
    """Keyword arguments of gymnasium.make; by default the data's."""
    max_episode_steps: int | None = None
    """Length at which an episode is cut; by default the environment's own."""

    def over(self, base: EnvConfig) -> EnvConfig:
        """This configuration where it names an environment, else ``base`` with the options given here."""
        if self.id is not None:
            return self
        limit = base.max_episode_steps if self.max_episode_steps is None else self.max_episode_steps
        return EnvConfig(base.id, {**base.kwargs, **self.kwargs}, limit)


@runtime_checkable
class Chunk(Protocol):
    """What one call of ``step_chunk`` gives back, for n environments and h steps.

    Entries after the step at which an environment ended mean nothing; ``num_steps`` says how many are valid.
    """

    @property
    def obs(self) -> dict[str, Array]:
        """Key -> [n, h, ...]."""
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


def make_envs(cfg: EnvConfig, num_envs: int, obs_keys: tuple[str, ...]) -> ChunkedEnvs:
    """Make ``num_envs`` copies of an environment.

    Args:
        cfg: Which environment.
        num_envs: Copies.
        obs_keys: What the policy needs; names the observation where the environment's is a plain array.

    Raises:
        ValueError: The id is unknown, its package is missing, or it has other observations.
    """
    if not _has_vector_driver(cfg):
        return LoopEnvs(cfg, num_envs, obs_keys)
    kwargs: dict[str, Any] = dict(cfg.kwargs)
    envs: Any = gym.make_vec(_require_id(cfg), num_envs=num_envs, **kwargs)
    _check_obs_keys(cfg, envs.single_observation_space, obs_keys)
    return envs


def make_env(cfg: EnvConfig, **kwargs: Any) -> gym.Env:
    """Make one environment.

    Raises:
        ValueError: The id is unknown, its package is missing, or it does not take these arguments.
    """
    limit = {} if cfg.max_episode_steps is None else {"max_episode_steps": cfg.max_episode_steps}
    try:
        return gym.make(_require_id(cfg), **limit, **{**cfg.kwargs, **kwargs})
    except (gym.error.Error, ImportError, TypeError) as error:
        raise ValueError(f"environment {cfg.id}: {error}") from None


def _has_vector_driver(cfg: EnvConfig) -> bool:
    env = make_env(cfg)
    assert env.spec is not None
    env.close()
    driver = env.spec.vector_entry_point
    return hasattr(load_env_creator(driver) if isinstance(driver, str) else driver, "step_chunk")


def _require_id(cfg: EnvConfig) -> str:
    if cfg.id is None:
        raise ValueError("the demonstrations name no environment; give --env.id, e.g. envs:robolearn/Avoid-v0")
    return cfg.id


def _check_obs_keys(cfg: EnvConfig, space: Any, needs: tuple[str, ...]) -> None:
    missing = [key for key in needs if key not in space.spaces]
    if missing:
        raise ValueError(f"environment {cfg.id} has no observation {missing}; it has {list(space.keys())}")


class LoopEnvs:
    """Any gymnasium environment, stepped one by one; plays the part of a vector driver with ``step_chunk``.

    ``info`` keys are taken as they are found: ``success`` or ``is_success``, ``score`` or the reward, ``mode``.
    An environment that raises ends its episode and is made afresh for the next one.
    """

    def __init__(self, cfg: EnvConfig, num_envs: int, obs_keys: tuple[str, ...]):
        self.cfg, self.num_envs, self.obs_keys = cfg, num_envs, obs_keys
        self.envs: list[gym.Env | None] = [make_env(cfg) for _ in range(num_envs)]
        self.errors: list[str | None] = [None] * num_envs
        env = self.envs[0]
        assert env is not None
        space: Any = env.observation_space
        if isinstance(space, gym.spaces.Dict):
            _check_obs_keys(cfg, space, obs_keys)
            spaces: Any = {key: space[key] for key in obs_keys}
        elif len(obs_keys) == 1:
            spaces = {obs_keys[0]: space}
        else:
            raise ValueError(f"environment {cfg.id} has one unnamed observation; the policy needs {list(obs_keys)}")
        self.current = {key: np.zeros((num_envs, *s.shape), np.float32) for key, s in spaces.items()}

    def reset(self, *, seed: list[int | None], options: dict[str, Any]) -> tuple[dict[str, Array], dict[str, Any]]:
        """See ChunkedEnvs."""
        for i in np.flatnonzero(options["reset_mask"]).tolist():
            try:
                env = self.envs[i] = self.envs[i] or make_env(self.cfg)
                self._observe(i, env.reset(seed=seed[i])[0])
                self.errors[i] = None
            except Exception as error:  # whatever a stranger's simulator raises is that episode's end, not the run's
                self._fail(i, error)
        return {key: value.copy() for key, value in self.current.items()}, {}

    def step_chunk(self, actions: Array, active: Array) -> LoopChunk:
        """See ChunkedEnvs."""
        n, h = actions.shape[:2]
        chunk = LoopChunk.empty(n, h, self.current)
        for i in np.flatnonzero(active).tolist():
            for j in range(h):
                if self.errors[i] is not None or not self._step(i, j, actions[i, j], chunk):
                    break
        return chunk

    def _step(self, i: int, j: int, action: Array, chunk: LoopChunk) -> bool:
        """Take step j of environment i; return whether it can go on."""
        env = self.envs[i]
        assert env is not None, "step before reset"
        space: Any = env.action_space
        try:
            obs, reward, terminated, truncated, info = env.step(
                np.clip(action, space.low, space.high).astype(space.dtype)
            )
        except Exception as error:  # see reset
            self._fail(i, error)
            return False
        self._observe(i, obs)
        for key, value in self.current.items():
            chunk.obs[key][i, j] = value[i]
        chunk.rewards[i, j], chunk.terminated[i, j], chunk.truncated[i, j] = reward, terminated, truncated
        chunk.info["success"][i, j] = bool(info.get("success", info.get("is_success", False)))
        chunk.info["score"][i, j] = info.get("score", reward)
        chunk.info["mode"][i, j] = info.get("mode", -1)
        chunk.info["unstable"][i, j] = not all(np.isfinite(v[i]).all() for v in self.current.values())
        chunk.num_steps[i] = j + 1
        return not (terminated or truncated or chunk.info["unstable"][i, j])

    def _observe(self, i: int, obs: Any) -> None:
        for key, value in self.current.items():
            value[i] = obs[key] if isinstance(obs, dict) else obs

    def _fail(self, i: int, error: Exception) -> None:
        self.errors[i] = f"error: {type(error).__name__}: {error}".splitlines()[0]
        self.envs[i] = None

    def close(self, **kwargs: Any) -> None:
        """Close every environment."""
        for env in self.envs:
            if env is not None:
                env.close()


@dataclass(frozen=True)
class LoopChunk:
    """A Chunk that is filled step by step."""

    obs: dict[str, Array]
    rewards: Array
    terminated: Array
    truncated: Array
    num_steps: Array
    info: dict[str, Array]

    @classmethod
    def empty(cls, n: int, h: int, current: dict[str, Array]) -> LoopChunk:
        """A chunk in which no environment has stepped yet."""
        info = {
            "success": np.zeros((n, h), bool),
            "score": np.zeros((n, h)),
            "mode": np.full((n, h), -1),
            "unstable": np.zeros((n, h), bool),
        }
        obs = {key: np.zeros((n, h, *value.shape[1:]), value.dtype) for key, value in current.items()}
        flags = np.zeros((n, h), bool)
        return cls(obs, np.zeros((n, h)), flags, flags.copy(), np.zeros(n, int), info)


def num_modes(cfg: EnvConfig) -> int | None:
    """How many solution modes the environment tells apart; None where it does not say."""
    env: Any = make_env(cfg)
    env.close()
    return getattr(env.unwrapped, "num_modes", None) or None

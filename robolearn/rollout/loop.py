"""Any gymnasium environment behind the chunked interface: a loop over environments and steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from robolearn.rollout.environments import EnvConfig, check_obs_keys, make_env
from robolearn.types import Array


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
            check_obs_keys(cfg, space, obs_keys)
            spaces: Any = {key: space[key] for key in obs_keys}
        elif len(obs_keys) == 1:
            spaces = {obs_keys[0]: space}
        else:
            raise ValueError(f"environment {cfg.id} has one unnamed observation; the policy needs {list(obs_keys)}")
        self.current = {
            key: np.zeros((num_envs, *s.shape), np.uint8 if s.dtype == np.uint8 else np.float32)
            for key, s in spaces.items()
        }

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

"""What robolearn asks of an environment: of its spaces before it is used, and of everything that it then returns.

What cannot be meant is refused, never converted: numpy would broadcast one number of an action to two joints, and take
a list of one number for that number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from robolearn.errors import UserError
from robolearn.images import ImageLayout
from robolearn.outdated import OLD_GYM
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.observed import Observations
from robolearn.rollout.readings import ABSENT, FaultError, find_nested, kind_of, read_flag, read_mode, read_number
from robolearn.types import Array

FINAL_OBS = ("final_obs", "final_observation", "terminal_observation")  # in info, where a step restarts


@dataclass(frozen=True)
class Step:
    """What a step led to.

    Attributes:
        obs: Key -> array of the declared shape, finite; images are uint8, all else float32.
        reward: Finite.
        terminated: As gymnasium has it.
        truncated: As gymnasium has it.
        success: Whether the task's condition is met; None where ``info`` says nothing.
        score: Progress; the reward where ``info`` says nothing.
        mode: Solution mode, -1 where undefined.
        unstable: Whether the environment says that its simulation diverged.
        info_keys: What else ``info`` holds.
    """

    obs: dict[str, Array]
    reward: float
    terminated: bool
    truncated: bool
    success: bool | None
    score: float
    mode: int
    unstable: bool
    info_keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Interface:
    """The spaces of an environment, as far as the policy uses them, and how to read what lies in them.

    Attributes:
        observations: How what comes is shown to the policy.
        action_space: Of the actions.
        num_modes: Solution modes that it tells apart; None where it does not say.
        success_key: Of ``info``, with dots for inner dicts; None for success or is_success.
        clips: Whether actions are clipped to their space.
        observation_space: As it was declared, with what the policy does not use.
    """

    observations: Observations
    action_space: Any
    num_modes: int | None = None
    success_key: str | None = None
    clips: bool = True
    observation_space: Any = None

    @classmethod
    def from_spaces(
        cls, cfg: EnvConfig, obs_space: Any, action_space: Any, keys: Iterable[str], modes: int | None
    ) -> Interface:
        """Find the observations ``keys`` in a space.

        Raises:
            UserError: Observations are missing, cannot be made, or are no arrays of numbers.
        """
        observations = Observations.from_space(cfg, obs_space, list(keys))
        return cls(observations, action_space, modes, cfg.success_key, cfg.clips, obs_space)

    def fitted(
        self, cfg: EnvConfig, obs_shapes: Mapping[str, Any], action_dim: int, images: Mapping[str, ImageLayout]
    ) -> Interface:
        """The same as a policy expects it; an environment that cannot be brought to that is refused.

        Args:
            cfg: The environment.
            obs_shapes: Of the policy's observations.
            action_dim: Numbers in the policy's actions.
            images: How those of the demonstrations were recorded, where that was otherwise than they are seen.

        Raises:
            UserError: One line that says what differs.
        """
        fitted = replace(self, observations=self.observations.fitted(obs_shapes, images))
        space = self.action_space
        if problem := action_space_problem(space):
            raise UserError(f"environment {cfg.id}: {problem}")
        if math.prod(space.shape) != action_dim:
            raise UserError(f"the environment's actions have shape {space.shape}, those of the policy {(action_dim,)}")
        return fitted

    def read_reset(self, result: Any) -> tuple[Any, dict[str, Array]]:
        """The whole first observation, as it is, and the part of it that the policy sees.

        Raises:
            FaultError: It is not what reset has to return.
        """
        obs, info = _unpack("reset", result, ("observation", "info"))
        _check_info(info)
        return obs, self.observations.read(obs)

    def read_step(self, result: Any) -> Step:
        """What a step led to.

        Raises:
            FaultError: It is not what step has to return.
        """
        names = ("observation", "reward", "terminated", "truncated", "info")
        obs, reward, terminated, truncated, info = _unpack("step", result, names)
        _check_info(info)
        terminated, truncated = read_flag("terminated", terminated), read_flag("truncated", truncated)
        if terminated or truncated:
            obs, info = _before_restart(obs, info)
        reward = read_number("the reward", reward)
        return Step(
            obs=self.observations.read(obs),
            reward=reward,
            terminated=terminated,
            truncated=truncated,
            success=self.read_success(info),
            score=read_number("the score", info["score"]) if "score" in info else reward,
            mode=read_mode(info.get("mode", -1), self.num_modes),
            unstable=read_flag("unstable", info.get("unstable", False)),
            info_keys=tuple(map(str, info)),
        )

    def read_success(self, info: Mapping[str, Any]) -> bool | None:
        """Whether the task's condition is met; None where ``info`` says nothing.

        Raises:
            FaultError: What it says is no truth value.
        """
        keys = ("success", "is_success") if self.success_key is None else (self.success_key,)
        for key in keys:
            value = find_nested(info, key)
            if value is not ABSENT:
                return read_flag(key, value)
        return None

    def actuate(self, action: Array) -> Array:
        """An action [a] as the environment takes it: in its shape, clipped unless that is not wanted, in its dtype."""
        space, shaped = self.action_space, action.reshape(self.action_space.shape)
        return (np.clip(shaped, space.low, space.high) if self.clips else shaped).astype(space.dtype)


def action_space_problem(space: Any) -> str | None:
    """Why no policy can act in an action space of gymnasium; None if one can."""
    from gymnasium import spaces  # late: a policy on a robot needs no simulator

    if isinstance(space, spaces.Box) and space.dtype is not None and space.dtype.kind == "f":
        return None
    problem = f"actions must be a Box of floats, they are {kind_of(space)}"
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
        problem += (
            "; a policy's actions are real numbers, so wrap it in one that takes a Box and chooses, e.g. the largest "
            "of one number each"
        )
    return problem


def _before_restart(obs: Any, info: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    """The last observation and info of an episode where the environment has already begun the next one.

    Wrappers and vector environments that restart in the same step keep them in info, under names that have changed.
    """
    last = [info[name] for name in FINAL_OBS if info.get(name) is not None]
    final = info.get("final_info")
    return last[0] if last else obs, {**info, **final} if isinstance(final, Mapping) else info


def _check_info(info: Any) -> None:
    if not isinstance(info, Mapping):
        raise FaultError(f"info is {kind_of(info)}, not a dict")


def _unpack(what: str, result: Any, names: tuple[str, ...]) -> Any:
    if isinstance(result, tuple | list) and len(result) == len(names):
        return result
    kind = f"{len(result)} values" if isinstance(result, tuple | list) else kind_of(result)
    old = (what, kind) == ("step", "4 values") or (what == "reset" and not isinstance(result, tuple | list))
    hint = f"; it {OLD_GYM}" if old and result is not None else ""
    raise FaultError(f"{what} returned {kind}, not ({', '.join(names)}){hint}")

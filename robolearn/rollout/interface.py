"""What robolearn asks of an environment: of its spaces before it is used, and of everything that it then returns.

What cannot be meant is refused, never converted: numpy would broadcast one number of an action to two joints, and take
a list of one number for that number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from robolearn.errors import UserError
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.readings import REAL, FaultError, kind_of, read_array, read_flag, read_mode, read_number
from robolearn.types import Array, is_image


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
    """

    obs: dict[str, Array]
    reward: float
    terminated: bool
    truncated: bool
    success: bool | None
    score: float
    mode: int
    unstable: bool


@runtime_checkable
class Box(Protocol):
    """What is used of gymnasium's."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of an observation."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """Of its numbers."""
        ...


@dataclass(frozen=True)
class Interface:
    """The spaces of an environment, as far as the policy uses them, and how to read what lies in them.

    Attributes:
        boxes: Of the observations, by the names that the policy has for them.
        named: Whether observations are a dict; otherwise the only one comes as it is.
        action_space: Of the actions.
        num_modes: Solution modes that it tells apart; None where it does not say.
    """

    boxes: dict[str, Box]
    named: bool
    action_space: Any
    num_modes: int | None = None

    @classmethod
    def from_spaces(
        cls, cfg: EnvConfig, obs_space: Any, action_space: Any, keys: Iterable[str], modes: int | None
    ) -> Interface:
        """Find the observations ``keys`` in a space.

        Raises:
            UserError: Observations are missing, or are no arrays of numbers.
        """
        from gymnasium import spaces  # late: a policy on a robot needs no simulator

        keys, named = list(keys), isinstance(obs_space, spaces.Dict)
        if named:
            missing = [key for key in keys if key not in obs_space.spaces]
            if missing:
                raise UserError(f"environment {cfg.id} has no observation {missing}; it has {list(obs_space.keys())}")
        elif len(keys) > 1:
            raise UserError(f"environment {cfg.id} has one unnamed observation; the policy needs {keys}")
        boxes = {key: obs_space[key] if named else obs_space for key in keys}
        for key, box in boxes.items():
            if not isinstance(box, spaces.Box) or box.dtype.kind not in REAL:
                raise UserError(
                    f"environment {cfg.id}: observation {key!r} must be a Box of numbers, it is {kind_of(box)}"
                )
        return cls(boxes, named, action_space, modes)

    def check_fit(self, cfg: EnvConfig, obs_shapes: Mapping[str, Any], action_dim: int) -> None:
        """Refuse an environment whose observations or actions are not those of the policy.

        Args:
            cfg: The environment.
            obs_shapes: Of the policy's observations.
            action_dim: Numbers in the policy's actions.

        Raises:
            UserError: One line that says what differs.
        """
        from gymnasium import spaces

        for key, box in self.boxes.items():
            shape = tuple(obs_shapes[key])
            if box.shape != shape:
                raise UserError(f"the environment's {key!r} has shape {box.shape}, the policy expects {shape}")
            if is_image(shape) and box.dtype != np.uint8:
                raise UserError(f"the environment's {key!r} is {box.dtype}, the policy expects uint8, 0 .. 255")
        space = self.action_space
        if not isinstance(space, spaces.Box) or space.dtype.kind != "f":
            raise UserError(f"environment {cfg.id}: actions must be a Box of floats, they are {kind_of(space)}")
        if space.shape != (action_dim,):
            raise UserError(f"the environment's actions have shape {space.shape}, those of the policy {(action_dim,)}")

    def read_reset(self, result: Any) -> tuple[Any, dict[str, Array]]:
        """The whole first observation, as it is, and the part of it that the policy sees.

        Raises:
            FaultError: It is not what reset has to return.
        """
        obs, info = _unpack("reset", result, ("observation", "info"))
        _check_info(info)
        return obs, self.read_obs(obs)

    def read_step(self, result: Any) -> Step:
        """What a step led to.

        Raises:
            FaultError: It is not what step has to return.
        """
        names = ("observation", "reward", "terminated", "truncated", "info")
        obs, reward, terminated, truncated, info = _unpack("step", result, names)
        _check_info(info)
        reward = read_number("the reward", reward)
        told = [name for name in ("success", "is_success") if name in info]
        return Step(
            obs=self.read_obs(obs),
            reward=reward,
            terminated=read_flag("terminated", terminated),
            truncated=read_flag("truncated", truncated),
            success=read_flag(told[0], info[told[0]]) if told else None,
            score=read_number("the score", info["score"]) if "score" in info else reward,
            mode=read_mode(info.get("mode", -1), self.num_modes),
            unstable=read_flag("unstable", info.get("unstable", False)),
        )

    def read_obs(self, obs: Any) -> dict[str, Array]:
        """The policy's observations.

        Raises:
            FaultError: One is missing, or is not of the declared shape, or is no number.
        """
        if not self.named:
            return {key: _read_obs(key, obs, box) for key, box in self.boxes.items()}
        if not isinstance(obs, Mapping):
            raise FaultError(f"the observation is {kind_of(obs)}, not a dict")
        missing = [key for key in self.boxes if key not in obs]
        if missing:
            raise FaultError(f"the observation lacks {missing}")
        return {key: _read_obs(key, obs[key], box) for key, box in self.boxes.items()}

    def actuate(self, action: Array) -> Array:
        """An action [a] as the environment takes it: clipped, in its dtype."""
        space = self.action_space
        return np.clip(action, space.low, space.high).astype(space.dtype)


def _read_obs(key: str, value: Any, box: Box) -> Array:
    array = read_array(f"observation {key!r}", value)
    if array.shape != box.shape:
        raise FaultError(f"observation {key!r} has shape {array.shape}, declared is {box.shape}")
    if is_image(box.shape) and box.dtype == np.uint8:
        if array.dtype != np.uint8:
            raise FaultError(f"observation {key!r} is {array.dtype}, declared is uint8")
        return array
    with np.errstate(over="ignore"):  # what overflows is found below
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise FaultError(f"observation {key!r} is not finite")
    return array


def _check_info(info: Any) -> None:
    if not isinstance(info, Mapping):
        raise FaultError(f"info is {kind_of(info)}, not a dict")


def _unpack(what: str, result: Any, names: tuple[str, ...]) -> Any:
    if isinstance(result, tuple | list) and len(result) == len(names):
        return result
    found = f"{len(result)} values" if isinstance(result, tuple | list) else kind_of(result)
    raise FaultError(f"{what} returned {found}, not ({', '.join(names)})")

"""A vector environment with a scripted expert, as `collect` drives it.

It may be a stranger's: what it raises, and what it returns that cannot be meant, is said in one line, not recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import gymnasium as gym
import numpy as np

from robolearn.contract import Facts
from robolearn.errors import UserError, one_line, warned
from robolearn.modules import making
from robolearn.types import Array

MAX_REASON = 300  # characters of a stranger's error
STEP = ("observations", "rewards", "terminated", "truncated", "info")


@dataclass(frozen=True)
class DemoStep:
    """What a step led to in n environments.

    Attributes:
        obs: Key -> [n, ...], float32 or uint8; of an episode that ended maybe not finite.
        ended: Whose episode ended, bool [n].
        success: Whether it met the task's condition, bool [n]; False where none ended.
        mode: Solution mode, -1 where undefined, int [n].
        unstable: Whether the simulation diverged, bool [n].
    """

    obs: dict[str, Array]
    ended: Array
    success: Array
    mode: Array
    unstable: Array


class Demonstrator:
    """A vector environment that offers ``expert_action``.

    Args:
        env_id: Gymnasium id with its module.
        num_envs: Environments stepped together.
        env_kwargs: Keyword arguments of `gymnasium.make_vec`.

    Attributes:
        obs_shapes: Key -> shape of an observation; the key is "state" where there is one unnamed observation.
        control_dt: Seconds per action, if the environment says so.
        units: Key -> unit.

    Raises:
        UserError: It cannot be made, has no expert, or has observations or actions that are no arrays of numbers.
    """

    def __init__(self, env_id: str, num_envs: int, env_kwargs: Mapping[str, Any] | None = None) -> None:
        self.env_id, self.num_envs, self.env_kwargs = env_id, num_envs, dict(env_kwargs or {})
        with making(env_id):
            self._envs: Any = gym.make_vec(env_id, num_envs=num_envs, **self.env_kwargs)
        try:
            self._read_interface()
        except BaseException:
            self.close()
            raise

    def _read_interface(self) -> None:
        facts = Facts.declared_by(self._envs)
        if not facts.has_expert:
            self._fail("has no scripted expert (no expert_action)")
        space: Any
        actions: Any
        space, actions = (getattr(self._envs, f"single_{kind}_space", None) for kind in ("observation", "action"))
        boxes: dict[str, Any] = dict(space.items()) if isinstance(space, gym.spaces.Dict) else {"state": space}
        for what, box in {**{f"observation {key!r}": box for key, box in boxes.items()}, "the action": actions}.items():
            if not isinstance(box, gym.spaces.Box):
                self._fail(f"{what} must be a Box, it is {type(box).__name__}")
        self._named = isinstance(space, gym.spaces.Dict)
        self.obs_shapes = {key: box.shape for key, box in boxes.items()}
        self._action_shape = actions.shape
        self.control_dt, self.units = facts.control_dt, dict(facts.units)
        told = getattr(self._envs, "units", facts.units)
        if told is not facts.units:  # what is recorded is not left out without a word
            self._fail(f"units must be text by key, they are {told!r:.60}")

    def reset(self, seeds: list[int], mask: Array) -> dict[str, Array]:
        """Begin the episodes of `seeds` [n] where `mask` [n] says so; return the observations of all environments.

        Raises:
            UserError: The environment raised, or returned something else.
        """
        result = self._call("reset", seed=seeds, options={"reset_mask": mask})
        if not isinstance(result, tuple) or len(result) != 2:
            self._fail(f"reset returned {_kind(result)}, not (observations, info)")
        return self._read_obs(result[0])

    def act(self) -> tuple[Array, Any]:
        """The expert's actions float32 [n, a], to be recorded, and those [n, a] that are to be executed.

        Raises:
            UserError: The environment raised, or returned something else.
        """
        result = self._call("expert_action")
        if not isinstance(result, tuple) or len(result) != 2:
            self._fail(f"expert_action returned {_kind(result)}, not (label, executed)")
        label, executed = (
            self._read(f"the {name} action", value, self._action_shape)
            for name, value in zip(("expert's", "executed"), result, strict=True)
        )
        label = _single(label)
        self.check_finite("the expert's action", label)
        self.check_finite("the executed action", executed)
        return label, executed

    def step(self, actions: Any) -> DemoStep:
        """Execute actions [n, a].

        Raises:
            UserError: The environment raised, or returned something else.
        """
        result = self._call("step", actions)
        if not isinstance(result, tuple) or len(result) != len(STEP):
            self._fail(f"step returned {_kind(result)}, not ({', '.join(STEP)})")
        obs, rewards, terminated, truncated, info = result
        self._read("the reward", rewards)
        everywhere = np.ones(self.num_envs, bool)
        ended = self._flags("terminated", terminated, everywhere) | self._flags("truncated", truncated, everywhere)
        if not isinstance(info, Mapping):
            self._fail(f"info is {_kind(info)}, not a dict")
        if ended.any() and "success" not in info:
            self._fail("info tells of no success where an episode ends")
        none = np.zeros(self.num_envs, bool)
        return DemoStep(
            self._read_obs(obs),
            ended,
            success=self._flags("success", info.get("success", none), ended),
            mode=self._modes(info.get("mode", none.astype(int) - 1), ended),
            unstable=self._flags("unstable", info.get("unstable", none), ended),
        )

    def check_finite(self, what: str, rows: Array) -> None:
        """Raise a UserError if what is to be recorded [n, ...] is not finite."""
        if not np.isfinite(rows).all():
            self._fail(f"{what} is not finite")

    def close(self) -> None:
        """Close the environments; what goes wrong is a warning."""
        with warned("closing the environments"):
            self._envs.close()

    def _read_obs(self, obs: Any) -> dict[str, Array]:
        if self._named and not isinstance(obs, Mapping):
            self._fail(f"the observations are {_kind(obs)}, not a dict")
        named = obs if self._named else {"state": obs}
        missing = [key for key in self.obs_shapes if key not in named]
        if missing:
            self._fail(f"the observations lack {missing}")
        read = {key: self._read(f"observation {key!r}", named[key], shape) for key, shape in self.obs_shapes.items()}
        return {key: rows if rows.dtype == np.uint8 else _single(rows) for key, rows in read.items()}

    def _flags(self, what: str, value: Any, where: Array) -> Array:
        """Truth values [n], False but for those asked for."""
        rows = np.where(where, self._read(what, value), 0)
        if not np.isin(rows, (0, 1)).all():
            self._fail(f"{what} must be true or false, it is {rows[~np.isin(rows, (0, 1))][0]}")
        return rows.astype(bool)

    def _modes(self, value: Any, where: Array) -> Array:
        """Whole numbers [n] of at least -1, which stands for those not asked for too."""
        rows = np.where(where, self._read("the mode", value), -1)
        wrong = ~((rows >= -1) & (rows <= np.iinfo(np.int32).max) & (rows == np.floor(rows)))
        if wrong.any():
            self._fail(f"the mode must be one of -1, 0, 1, ..., it is {rows[wrong][0]}")
        return rows.astype(int)

    def _read(self, what: str, value: Any, shape: tuple[int, ...] = ()) -> Array:
        """Numbers [n, *shape]."""
        try:
            rows = np.asarray(value)
        except Exception as error:  # ragged lists, and whatever __array__ raises
            self._fail(f"{what} is no array of numbers ({type(error).__name__})")
        if rows.dtype.kind not in "biuf":
            self._fail(f"{what} must be numbers, it is of type {rows.dtype}")
        if rows.shape != (self.num_envs, *shape):
            self._fail(f"{what} has shape {rows.shape}, expected is {(self.num_envs, *shape)}")
        return rows

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call the environment; whatever it raises is its fault, not a defect of ours."""
        try:
            return getattr(self._envs, name)(*args, **kwargs)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # also SystemExit: it must not pass for a success
            self._fail(f"{name} raised {type(error).__name__}: {one_line(error):.{MAX_REASON}}", error)

    def _fail(self, fault: str, cause: BaseException | None = None) -> NoReturn:
        raise UserError(f"environment {self.env_id}: {fault}") from cause


def _single(rows: Array) -> Array:
    """A copy in float32; what overflows becomes infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        return rows.astype(np.float32)


def _kind(value: Any) -> str:
    return f"{len(value)} values" if isinstance(value, tuple | list) else type(value).__name__

"""What a plan run sees of an environment: numbers that make one flat state, and actions with bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Float
from torch import Tensor

from robolearn.errors import UserError, remark
from robolearn.images import ImageLayout
from robolearn.keymap import KeyMap
from robolearn.planning.config import PlanConfig
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.making import action_space_of, observation_space_of
from robolearn.rollout.observed import UNNAMED, Observations, leaves_of
from robolearn.rollout.readings import kind_of
from robolearn.types import Array, is_image


@dataclass(frozen=True)
class Senses:
    """What an environment shows and takes.

    Attributes:
        obs_shapes: Key -> shape, in the order in which they make the state.
        low: Smallest action [a].
        high: Largest action [a].
    """

    obs_shapes: dict[str, tuple[int, ...]]
    low: Float[Tensor, " a"]
    high: Float[Tensor, " a"]
    obs_horizon: int = field(default=1, init=False)
    images: dict[str, ImageLayout] = field(default_factory=dict, init=False)

    @property
    def action_dim(self) -> int:
        """Numbers of an action."""
        return len(self.low)

    @property
    def state_dim(self) -> int:
        """Numbers of a state."""
        return sum(map(math.prod, self.obs_shapes.values()))

    def state(self, obs: Mapping[str, Array]) -> Float[np.ndarray, "*t s"]:
        """Observations by key [*t, *shape] as flat states."""
        rows = [obs[key].reshape(*obs[key].shape[: obs[key].ndim - len(s)], -1) for key, s in self.obs_shapes.items()]
        return np.concatenate(rows, axis=-1, dtype=np.float32)


def senses_of(cfg: PlanConfig) -> Senses:
    """Ask an environment what it shows and takes.

    Raises:
        UserError: It cannot be made, shows no such observation or images alone, or its actions have no bounds.
    """
    space = observation_space_of(cfg.env)
    keys = cfg.obs_keys or _default_keys(cfg.env, space)
    shapes = {key: form.shape for key, form in Observations.from_space(cfg.env, space, keys).forms.items()}
    if seen := [key for key, shape in shapes.items() if is_image(shape)]:
        raise UserError(f"`obs_keys` {seen[0]} is an image; a state is made of numbers")
    return Senses({key: shapes[key] for key in keys}, *_bounds(cfg.env))


def _default_keys(env: EnvConfig, space: Any) -> tuple[str, ...]:
    if env.obs:
        return KeyMap.parse(env.obs, "env.obs").names
    if not isinstance(space, spaces.Dict):
        return (UNNAMED,)
    obs_spaces = dict(leaves_of(env, space))
    keys = tuple(key for key, inner in obs_spaces.items() if len(inner.shape or ()) < 3)
    if not keys:
        raise UserError(
            f"environment {env.id} shows images alone ({', '.join(obs_spaces)}); a state is made of numbers"
        )
    if len(keys) < len(obs_spaces):
        remark(f"environment {env.id}: the state is {', '.join(keys)}, without its images")
    return keys


def _bounds(env: EnvConfig) -> tuple[Float[Tensor, " a"], Float[Tensor, " a"]]:
    space = action_space_of(env)
    if not isinstance(space, spaces.Box) or space.dtype.kind != "f":
        raise UserError(f"environment {env.id}: actions must be a Box of floats to plan, they are {kind_of(space)}")
    low, high = (torch.from_numpy(np.asarray(end, np.float32).reshape(-1).copy()) for end in (space.low, space.high))
    if not (high - low).isfinite().all():
        raise UserError(f"environment {env.id}: its actions have no bounds, between which plans could be drawn")
    return low, high

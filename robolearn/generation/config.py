"""How demonstrations are carried over. Nothing heavy is imported here: a command's help needs it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from robolearn import seeds
from robolearn.errors import UserError
from robolearn.rollout.env_config import EnvConfig

OrderName = Literal["random", "nearest"]


@dataclass(frozen=True)
class SceneConfig:
    """Where hand and objects are, for an environment that does not declare it; see `robolearn.contract.Scene`."""

    hand: str | None = None
    """Position of what the actions move, 2 or 3 numbers of an observation: state[:3]."""
    objects: tuple[str, ...] = ()
    """Positions of the objects, goals among them: cube=state[4:7] goal=state[36:39]; with an angle [rad] behind the
    position where it matters."""
    carries: bool = False
    """The hand holds what it moves; otherwise it pushes."""
    turns: bool = False
    """An object is pushed from the same side of its own, however it lies."""
    near: float = 0.0
    """From this distance on the hand deals with an object that stays."""
    gain: float | None = None
    """The hand's part of an action is (where it is sent - where it is) / gain; by default it is that place itself."""

    def __post_init__(self) -> None:
        if (self.hand is None) != (not self.objects):
            raise UserError("`scene`: give both `scene.hand` and `scene.objects`, or neither")
        if self.carries and self.turns:
            raise UserError("`scene`: what is carried is not pushed; give `scene.carries` or `scene.turns`")
        if self.hand is None and (self.carries or self.turns or self.near or self.gain):
            raise UserError("`scene`: say where things are, with `scene.hand` and `scene.objects`")
        if not (math.isfinite(self.near) and self.near >= 0):
            raise UserError(f"`scene.near` {self.near:g} must be a distance, at least 0")
        if self.gain is not None and not (math.isfinite(self.gain) and self.gain > 0):
            raise UserError(f"`scene.gain` {self.gain:g} must be above 0")


@dataclass(frozen=True)
class GenerateConfig:
    """How demonstrations are carried over."""

    sources: int | None = None
    """Carry over the first so many demonstrations; by default all."""
    tries: int = 10
    """Attempts at a start, each with another demonstration, until one succeeds."""
    order: OrderName = "random"
    """Which demonstration is tried first at a start: another one each time, all equally often, or the one whose objects
    began nearest, which has to be bent least."""
    noise: float = 0.0
    """Standard deviation of what is added to the hand's part of each action as it is executed, in the action's units;
    recorded is the action without it."""
    seed: int = seeds.GENERATION.start
    """Seed of the first start; each takes the next one."""
    num_envs: int = 64
    """Environments stepped together; what is generated does not depend on it."""
    obs_keys: tuple[str, ...] | None = None
    """Observations to record, which the scene is read from; by default those that the demonstrations declare."""
    obs: tuple[str, ...] = ()
    """Keys made of those of the demonstrations: NEW=SOURCE, as in agent_pos=state[:2]."""
    scene: SceneConfig = field(default_factory=SceneConfig)
    env: EnvConfig = field(default_factory=EnvConfig)

    def __post_init__(self) -> None:
        for name, least in (("sources", 1), ("tries", 1), ("noise", 0), ("seed", 0), ("num_envs", 1)):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= least):
                raise UserError(f"`{name}` {value} must be at least {least}")
        if self.order not in get_args(OrderName):
            raise UserError(f"`order` {self.order!r} is unknown; choose from {', '.join(get_args(OrderName))}")

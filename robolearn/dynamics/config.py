"""How plans are searched for, and judged. Nothing heavy is imported here: a command's help needs it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from robolearn.errors import UserError

Propagation = Literal["ts1", "tsinf"]
MOST_BETA = 10.0  # the power of the lowest frequency is still a number in single precision, and all else is nothing


@dataclass(frozen=True)
class SearchConfig:
    """What both searches have: plans are drawn, the best are kept, and the law to draw from follows them."""

    population: int
    """Plans per iteration."""
    elites: int
    """Best plans, to which mean and variance are fitted."""
    iterations: int
    """Rounds of drawing and fitting; the price of a plan is proportional, and see docs/dynamics.md for what it buys."""
    momentum: float = 0.1
    """Weight of the mean and the variance before, in [0, 1)."""

    def __post_init__(self) -> None:
        if not 1 <= self.elites <= self.population:
            raise UserError(f"`search.elites` {self.elites} must be in 1..`search.population` {self.population}")
        if self.iterations < 1:
            raise UserError(f"`search.iterations` {self.iterations} must be at least 1")
        if not 0 <= self.momentum < 1:
            raise UserError(f"`search.momentum` {self.momentum} must be in [0, 1)")


@dataclass(frozen=True)
class CEMConfig(SearchConfig):
    """The cross-entropy method as in PETS: each action is drawn for itself, and the mean of the elites is executed."""

    population: int = 200
    elites: int = 20
    iterations: int = 10


@dataclass(frozen=True)
class ICEMConfig(SearchConfig):
    """iCEM: plans that are smooth in time, elites that stay, and a population that shrinks."""

    population: int = 60
    """Plans in the first iteration."""
    elites: int = 10
    iterations: int = 3
    beta: float = 2.5
    """Exponent of the noise that plans are drawn with: its power falls with the frequency as f^-beta; 0 for white."""
    keep: float = 0.3
    """Share of the elites that compete again, in the next iteration and, a step shorter, in the next search."""
    decay: float = 1.25
    """Factor by which the population shrinks per iteration, down to twice the elites."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.beta <= MOST_BETA:
            raise UserError(f"`search.beta` {self.beta} must be in [0, {MOST_BETA:g}]")
        if not 0 <= self.keep <= 1:
            raise UserError(f"`search.keep` {self.keep} must be in [0, 1]")
        if not (math.isfinite(self.decay) and self.decay >= 1):
            raise UserError(f"`search.decay` {self.decay} must be at least 1")


SEARCHES: dict[str, type[SearchConfig]] = {"cem": CEMConfig, "icem": ICEMConfig}


@dataclass(frozen=True)
class PlannerConfig:
    """How to plan in a model."""

    horizon: int = 15
    """Actions ahead."""
    num_particles: int = 10
    """Particles per plan, a multiple of the model's members."""
    propagation: Propagation = "tsinf"
    """ts1 or tsinf."""
    search: SearchConfig = field(default_factory=CEMConfig)
    """The search."""

    def __post_init__(self) -> None:
        if self.horizon < 1:
            raise UserError(f"`horizon` {self.horizon} must be at least 1")

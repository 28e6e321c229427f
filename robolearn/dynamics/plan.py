"""Planning by trial and selection in a model: the cross-entropy method, at every step anew.

Source: Chua et al. 2018 (PETS), arXiv:1805.12114, section 5; truncation and momentum as in its published code.
Botev et al. 2013 on the cross-entropy method.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from robolearn.dynamics.propagate import Dynamics, Propagation, draw, propagate
from robolearn.errors import UserError

Cost = Callable[[Tensor], Tensor]
Reward = Callable[[Tensor, Tensor], Tensor]
TRUNCATION = 2.0  # standard deviations on either side within which plans are drawn


@dataclass(frozen=True)
class CEMConfig:
    """The cross-entropy method."""

    population: int = 200
    """Plans per iteration."""
    elites: int = 20
    """Best plans, to which mean and variance are fitted."""
    iterations: int = 10
    """Rounds of drawing and fitting; the price of a plan is proportional, and see docs/dynamics.md for what it buys."""
    momentum: float = 0.1
    """Weight of the mean and the variance before, in [0, 1)."""

    def __post_init__(self) -> None:
        if not 1 <= self.elites <= self.population:
            raise UserError(f"cem: elites {self.elites} must be in 1..population {self.population}")
        if self.iterations < 1 or not 0 <= self.momentum < 1:
            raise UserError(
                f"cem: iterations {self.iterations} must be at least 1 and momentum {self.momentum} in [0, 1)"
            )


def cem(
    cost: Cost,
    mean: Float[Tensor, "t a"],
    low: Float[Tensor, " a"],
    high: Float[Tensor, " a"],
    cfg: CEMConfig,
    *,
    generator: torch.Generator,
) -> Float[Tensor, "t a"]:
    """Find a plan of low cost between `low` and `high`.

    Plans are drawn from a normal law, truncated at two standard deviations; its variance starts at
    ((high - low) / 4)^2 and is never more than (distance of the mean to the nearer bound / 2)^2, so that no plan
    leaves the bounds. Mean and variance then follow those of the elites.

    Args:
        cost: Plans [n, t, a] -> cost [n]; one that is NaN is never chosen before others.
        mean: Where to begin, within the bounds.
        low: Smallest action.
        high: Largest action.
        cfg: How.
        generator: Draws the plans.

    Returns:
        The last mean.
    """
    assert (low <= mean).all(), (low, mean)
    assert (mean <= high).all(), (mean, high)
    var = ((high - low) / 4).square().expand_as(mean)
    for _ in range(cfg.iterations):
        room = torch.minimum(mean - low, high - mean) / TRUNCATION
        std = torch.minimum(var, room.square()).sqrt()
        plans = mean + std * truncated_normal((cfg.population, *mean.shape), generator)
        costs = cost(plans).nan_to_num(nan=math.inf, posinf=math.inf, neginf=-math.inf)
        elites = plans[costs.topk(cfg.elites, largest=False).indices]
        # Rounding may carry an average of numbers at a bound beyond it.
        mean = mean.lerp(elites.mean(0), 1 - cfg.momentum).clamp(low, high)
        var = var.lerp(elites.var(0, correction=0), 1 - cfg.momentum)
    return mean


def truncated_normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Standard normal numbers within two standard deviations."""
    return torch.nn.init.trunc_normal_(torch.empty(shape), 0, 1, -TRUNCATION, TRUNCATION, generator)


@dataclass(frozen=True)
class PlannerConfig:
    """How to plan in a model."""

    horizon: int = 15
    """Actions ahead."""
    num_particles: int = 10
    """Particles per plan, a multiple of the model's members."""
    propagation: Propagation = "tsinf"
    """ts1 or tsinf."""
    cem: CEMConfig = field(default_factory=CEMConfig)
    """The search."""

    def __post_init__(self) -> None:
        if self.horizon < 1:
            raise UserError(f"planner: horizon {self.horizon} must be at least 1")


class Planner:
    """Executes the first action of a plan and plans again, beginning from what is left of the last plan.

    Args:
        model: Predicts one step.
        reward: States after an action [..., s] and the actions [..., a] -> reward [...].
        low: Smallest action [a].
        high: Largest action [a].
        cfg: How to plan.
        generator: Draws plans and particles.
    """

    def __init__(
        self,
        model: Dynamics,
        reward: Reward,
        low: Float[Tensor, " a"],
        high: Float[Tensor, " a"],
        cfg: PlannerConfig,
        *,
        generator: torch.Generator,
    ):
        self.model, self.reward, self.cfg, self.generator = model, reward, cfg, generator
        self.low, self.high = low, high
        self.reset()

    def reset(self) -> None:
        """Forget the last plan, at the start of an episode."""
        self.plan = ((self.low + self.high) / 2).expand(self.cfg.horizon, -1)

    @torch.no_grad()
    def act(self, state: Float[Tensor, " s"]) -> Float[Tensor, " a"]:
        """Plan from `state` and return the action to execute now.

        Raises:
            UserError: The particles cannot be dealt out evenly to the model's members.
        """
        plan = cem(
            lambda plans: self.cost(state, plans),
            self.plan,
            self.low,
            self.high,
            self.cfg.cem,
            generator=self.generator,
        )
        self.plan = torch.cat([plan[1:], (self.low + self.high)[None] / 2])
        return plan[0]

    def cost(self, state: Float[Tensor, " s"], plans: Float[Tensor, "n t a"]) -> Float[Tensor, " n"]:
        """Expected sum of rewards, negated: the mean over freshly drawn particles."""
        noise = draw(
            self.cfg.propagation,
            self.cfg.num_particles,
            self.cfg.horizon,
            self.model.num_members,
            len(state),
            self.generator,
        )
        path = propagate(self.model, state, plans, noise)
        actions = plans.transpose(0, 1)[:, :, None].expand(-1, -1, self.cfg.num_particles, -1)
        return -self.reward(path, actions).mean(2).sum(0)

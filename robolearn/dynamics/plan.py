"""Planning by trial and selection, at every step anew: what plans would bring in a model, and the best one's beginning.

Source: Chua et al. 2018 (PETS), arXiv:1805.12114, section 5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from robolearn.dynamics.cem import CEM
from robolearn.dynamics.config import CEMConfig, ICEMConfig, PlannerConfig, SearchConfig
from robolearn.dynamics.icem import ICEM
from robolearn.dynamics.propagate import Dynamics, draw, propagate
from robolearn.dynamics.search import Search

Reward = Callable[[Tensor, Tensor, Tensor], Tensor]
SEARCH_OF: dict[type[SearchConfig], type[Search]] = {CEMConfig: CEM, ICEMConfig: ICEM}


@runtime_checkable
class Returns(Protocol):
    """What plans would bring."""

    def __call__(self, state: Float[Tensor, " s"], plans: Float[Tensor, "n t a"]) -> Float[Tensor, " n"]:
        """The sum of rewards that is expected of each plan, from a state on."""
        ...


class ModelReturns:
    """The expected sum of rewards in a model: the mean over freshly drawn particles.

    Args:
        model: Predicts one step.
        reward: States before [..., s], actions [..., a] and states after [..., s] -> reward [...].
        cfg: How many particles, and how they choose among the model's members.
        generator: Draws the particles.
        ended: As `reward`, but whether an episode ends there [...]; later rewards of the particle count nothing.
    """

    def __init__(
        self,
        model: Dynamics,
        reward: Reward,
        cfg: PlannerConfig,
        *,
        generator: torch.Generator,
        ended: Reward | None = None,
    ):
        self.model, self.reward, self.cfg, self.generator, self.ended = model, reward, cfg, generator, ended

    @torch.no_grad()
    def __call__(self, state: Float[Tensor, " s"], plans: Float[Tensor, "n t a"]) -> Float[Tensor, " n"]:
        """See Returns.

        Raises:
            UserError: The particles cannot be dealt out evenly to the model's members.
        """
        particles, members = self.cfg.num_particles, self.model.num_members
        noise = draw(self.cfg.propagation, particles, plans.shape[1], members, len(state), self.generator)
        after = propagate(self.model, state, plans, noise)
        before = torch.cat([state.expand_as(after[:1]), after[:-1]])
        actions = plans.transpose(0, 1)[:, :, None].expand(-1, -1, particles, -1)
        rewards = self.reward(before, actions, after)
        if self.ended is not None:
            # Not a product: a particle that goes wild behind its end is paid NaN there.
            rewards = rewards.where(going_on(self.ended(before, actions, after)), 0.0)
        return rewards.mean(2).sum(0)


def going_on(ended: Bool[Tensor, "t *shape"]) -> Bool[Tensor, "t *shape"]:
    """Whether an episode had not ended before each step; the step in which it ends still counts."""
    before = ended.cumsum(0) - ended.long()
    return before == 0


class Planner:
    """Executes the first action of a plan and plans again, beginning from what is left of the last plan.

    Args:
        returns: What plans would bring.
        low: Smallest action [a].
        high: Largest action [a].
        cfg: How to plan.
        generator: Draws plans.
    """

    def __init__(
        self,
        returns: Returns,
        low: Float[Tensor, " a"],
        high: Float[Tensor, " a"],
        cfg: PlannerConfig,
        *,
        generator: torch.Generator,
    ):
        self.returns = returns
        self.search = SEARCH_OF[type(cfg.search)](cfg.search, cfg.horizon, low, high, generator)

    def reset(self) -> None:
        """Forget the last plan, at the start of an episode."""
        self.search.reset()

    def act(self, state: Float[Tensor, " s"]) -> Float[Tensor, " a"]:
        """Plan from `state` and return the action to execute now."""
        return self.search.find(lambda plans: -self.returns(state, plans))

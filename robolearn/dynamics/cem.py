"""The cross-entropy method, as PETS plans with it.

Source: Chua et al. 2018 (PETS), arXiv:1805.12114, section 5; truncation and momentum as in its published code.
Botev et al. 2013 on the cross-entropy method.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from robolearn.dynamics.config import CEMConfig
from robolearn.dynamics.search import Cost, Search, best_of

TRUNCATION = 2.0  # standard deviations on either side within which plans are drawn


class CEM(Search[CEMConfig]):
    """Executes the mean; the next search begins from the rest of it, with the middle of the bounds as its end."""

    def reset(self) -> None:
        """See Search."""
        self.plan = self.middle.expand(self.horizon, -1)

    def find(self, cost: Cost) -> Float[Tensor, " a"]:
        """See Search."""
        plan = cem(cost, self.plan, self.low, self.high, self.cfg, generator=self.generator)
        self.plan = torch.cat([plan[1:], self.middle[None]])
        return plan[0]


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
        elites = best_of(plans, cost(plans), cfg.elites)
        # Rounding may carry an average of numbers at a bound beyond it.
        mean = mean.lerp(elites.mean(0), 1 - cfg.momentum).clamp(low, high)
        var = var.lerp(elites.var(0, correction=0), 1 - cfg.momentum)
    return mean


def truncated_normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Standard normal numbers within two standard deviations."""
    return torch.nn.init.trunc_normal_(torch.empty(shape), 0, 1, -TRUNCATION, TRUNCATION, generator)

"""The cross-entropy method with smooth plans and a memory.

Source: Pinneri et al. 2020 (iCEM), arXiv:2008.06389, algorithm 1. One thing is otherwise: elites that stay are judged
again with the new plans, since a learned model judges with other luck each time.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from robolearn.dynamics.config import ICEMConfig
from robolearn.dynamics.noise import colored_noise
from robolearn.dynamics.search import Cost, Search, best_of


class ICEM(Search[ICEMConfig]):
    """Executes the best plan of the last iteration; mean and some elites begin the next search, a step further on."""

    def reset(self) -> None:
        """See Search."""
        self.mean = self.middle.expand(self.horizon, -1)
        self.kept = self.mean[None][:0]

    def find(self, cost: Cost) -> Float[Tensor, " a"]:
        """See Search."""
        begin = self.mean, self._prolonged()
        mean, elites = icem(cost, *begin, self.low, self.high, self.cfg, generator=self.generator)
        self.mean = torch.cat([mean[1:], mean[-1:]])
        self.kept = elites[: num_kept(self.cfg)]
        return elites[0, 0]

    def _prolonged(self) -> Float[Tensor, "m t a"]:
        """What is left of the kept elites, each with a last action that is drawn."""
        std = first_std(self.low, self.high)
        drawn = draw(self.mean, std, self.low, self.high, len(self.kept), self.cfg.beta, self.generator)
        return torch.cat([self.kept[:, 1:], drawn[:, -1:]], dim=1)


def icem(
    cost: Cost,
    mean: Float[Tensor, "t a"],
    kept: Float[Tensor, "m t a"],
    low: Float[Tensor, " a"],
    high: Float[Tensor, " a"],
    cfg: ICEMConfig,
    *,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "t a"], Float[Tensor, "k t a"]]:
    """Find plans of low cost between `low` and `high`.

    Plans are the mean plus colored noise of standard deviation (high - low) / 4 at first, clipped to the bounds. Kept
    plans compete with them, and in the last iteration the mean does. Mean and standard deviation follow the elites.

    Args:
        cost: Plans [n, t, a] -> cost [n]; one that is NaN is never chosen before others.
        mean: Where to begin, within the bounds.
        kept: Plans that compete in the first iteration, maybe none.
        low: Smallest action.
        high: Largest action.
        cfg: How.
        generator: Draws the plans.

    Returns:
        The last mean, and the last elites, best first.
    """
    std, elites = first_std(low, high).expand_as(mean), kept
    for i in range(cfg.iterations):
        num = max(int(cfg.population * cfg.decay**-i), 2 * cfg.elites)
        drawn = draw(mean, std, low, high, num, cfg.beta, generator)
        last = [mean[None]] if i == cfg.iterations - 1 else []
        plans = torch.cat([drawn, elites[: num_kept(cfg)], *last])
        elites = best_of(plans, cost(plans), cfg.elites)
        mean = mean.lerp(elites.mean(0), 1 - cfg.momentum).clamp(low, high)
        std = std.lerp(elites.std(0, correction=0), 1 - cfg.momentum)
    return mean, elites


def draw(
    mean: Float[Tensor, "t a"],
    std: Float[Tensor, "*t a"],
    low: Float[Tensor, " a"],
    high: Float[Tensor, " a"],
    num: int,
    beta: float,
    generator: torch.Generator,
) -> Float[Tensor, "num t a"]:
    """Plans around a mean, clipped to the bounds."""
    length, dim = mean.shape
    return (mean + std * colored_noise(num, length, dim, beta, generator)).clamp(low, high)


def first_std(low: Float[Tensor, " a"], high: Float[Tensor, " a"]) -> Float[Tensor, " a"]:
    """Standard deviation that a search begins with: half of the way from the middle to a bound."""
    return (high - low) / 4


def num_kept(cfg: ICEMConfig) -> int:
    """Elites that compete again."""
    return int(cfg.elites * cfg.keep)

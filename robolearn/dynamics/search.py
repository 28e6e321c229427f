"""What a search for plans is: from step to step of an episode it finds an action whose plan costs little."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from robolearn.dynamics.config import SearchConfig

Cost = Callable[[Tensor], Tensor]
C = TypeVar("C", bound=SearchConfig)


class Search(ABC, Generic[C]):
    """Finds one action after the other, each search beginning from what is left of the last plan.

    Args:
        cfg: How to search.
        horizon: Actions of a plan.
        low: Smallest action [a].
        high: Largest action [a].
        generator: Draws the plans.
    """

    def __init__(
        self,
        cfg: C,
        horizon: int,
        low: Float[Tensor, " a"],
        high: Float[Tensor, " a"],
        generator: torch.Generator,
    ):
        self.cfg, self.horizon, self.generator = cfg, horizon, generator
        self.low, self.high, self.middle = low, high, (low + high) / 2
        self.reset()

    @abstractmethod
    def reset(self) -> None:
        """Forget the last plan, at the start of an episode."""

    @abstractmethod
    def find(self, cost: Cost) -> Float[Tensor, " a"]:
        """Search anew; return the action to execute now.

        Args:
            cost: Plans [n, t, a] -> cost [n]; one that is NaN is never chosen before others.
        """


def best_of(plans: Float[Tensor, "n t a"], costs: Float[Tensor, " n"], count: int) -> Float[Tensor, "m t a"]:
    """The plans that cost least, best first; what costs NaN comes last."""
    known = costs.nan_to_num(nan=math.inf, posinf=math.inf, neginf=-math.inf)
    return plans[known.topk(count, largest=False).indices]

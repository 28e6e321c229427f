"""Actions stay within limits: of joints, or of a workspace."""

from __future__ import annotations

import torch
from torch import Tensor

from robolearn.errors import UserError
from robolearn.verify.claims.claim import Claim, written


class Limits(Claim):
    """low <= a <= high for every action that is executed.

    Args:
        low: Of each dimension of an action [a], float64.
        high: The same from above.
        steps: Actions that are executed.

    Raises:
        UserError: A limit is NaN, or a lower one is above its upper.
    """

    def __init__(self, low: Tensor, high: Tensor, steps: int) -> None:
        if low.isnan().any() or high.isnan().any() or (low > high).any():
            raise UserError(f"limits {low.tolist()} .. {high.tolist()}: a lower one is above its upper, or is none")
        self.low, self.high = low.double().repeat(steps), high.double().repeat(steps)
        self.words = f"each of the next {steps} actions is within {written(low)} .. {written(high)}"
        self.numbers = (*low.tolist(), *high.tolist())

    def margins(self, lower: Tensor, upper: Tensor, rows: Tensor) -> Tensor:
        """The least distance to a limit; negative beyond it."""
        return torch.minimum(self.high - upper, lower - self.low).amin(2)

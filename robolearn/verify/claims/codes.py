"""P(unsafe | o) <= p for every o of a box: of a policy with codes, how probable those are whose actions are not proved.

Codes below the floor of probabilities that the policy acts with are never drawn; where every code that may be drawn is
proved the probability is 0, and the claim of their actions is unconditional.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robolearn.errors import UserError
from robolearn.verify.claims.claim import Claim
from robolearn.verify.claims.subject import Chunks


class UnsafeProbability(Claim):
    """The codes that may be drawn and are not proved to fulfill a claim are drawn with at most p together.

    Args:
        safe: What makes actions safe.
        most: p, in [0, 1).

    Raises:
        UserError: p is no such probability.
    """

    def __init__(self, safe: Claim, most: float) -> None:
        if not 0 <= most < 1:
            raise UserError(f"`probability` {most} must be in [0, 1)")
        self.safe, self.most = safe, most
        self.assumptions, self.numbers = safe.assumptions, safe.numbers
        self.words = f"with a probability of at least {1 - most:g}, {safe.words}"

    def margins(self, lower: Tensor, upper: Tensor, rows: Tensor) -> Tensor:
        """Those of what makes actions safe."""
        return self.safe.margins(lower, upper, rows)

    def margin(self, chunks: Chunks, rows: Tensor) -> Tensor:
        """What is left of p."""
        unsafe = ~(self.margins(chunks.lower, chunks.upper, rows) >= 0)
        drawn = torch.where(unsafe, chunks.probability, 0.0).sum(1) * (1 + 1e-12)
        return (self.most - drawn).nan_to_num(nan=-torch.inf)

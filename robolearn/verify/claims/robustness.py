"""A sensor error moves the next actions by at most so much: the largest error for which that is proved, and the least
for which an input shows that it does not hold.

Of a policy with codes it is the chunk of every code that moves by at most so much; which code is drawn may change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from robolearn.errors import UserError
from robolearn.verify.claims.claim import Claim, written
from robolearn.verify.claims.search import BATCH, falsify
from robolearn.verify.claims.subject import Subject

FINEST, ROUNDS = 2.0**-8, 6  # of the least error that is falsified, where the search for a proved one begins; halvings


class Robustness(Claim):
    """|a(o + e) - a(o)| <= delta for every number of the actions that are executed.

    Args:
        reference: What the policy does without an error, for each observation and code [b, k, m].
        delta: For each dimension of an action [a], not negative.
        steps: Actions that are executed.

    Raises:
        UserError: A delta is negative or NaN.
    """

    def __init__(self, reference: Tensor, delta: Tensor, steps: int) -> None:
        if not bool((delta >= 0).all()):
            raise UserError(f"`delta` {delta.tolist()} must not be negative")
        self.reference, self.delta = reference, delta.double().repeat(steps)
        self.words = f"an error of the observation moves none of the next {steps} actions by more than {written(delta)}"
        self.numbers = tuple(delta.tolist())

    def margins(self, lower: Tensor, upper: Tensor, rows: Tensor) -> Tensor:
        """What is left of delta."""
        moved = torch.maximum(upper - self.reference[rows], self.reference[rows] - lower)
        return (self.delta - moved).amin(2)


@dataclass(frozen=True, eq=False)
class Radii:
    """Errors as shares of each number's range, of every observation [b].

    Attributes:
        proved: Up to this error the claim is proved; 0 where none is.
        falsified: With this error it was violated; infinite where no error up to the largest was found to.
    """

    proved: Tensor
    falsified: Tensor


def radii(
    subject: Subject, claim: Robustness, boxes: Callable[[Tensor], tuple[Tensor, Tensor]], count: int, most: float
) -> Radii:
    """Find both radii by bisection; nested boxes make both monotone.

    Args:
        subject: The policy.
        claim: About these observations.
        boxes: Errors [b] -> boxes [b, n].
        count: Observations.
        most: The largest error that is tried.
    """
    falsified = torch.full((count,), torch.inf, dtype=torch.float64)
    for row in range(count):
        low, high = most * 2.0**-10, most
        if not _violated(subject, claim, boxes, count, row, high):
            continue
        for _ in range(ROUNDS):
            middle = (low * high) ** 0.5
            low, high = (low, middle) if _violated(subject, claim, boxes, count, row, middle) else (middle, high)
        falsified[row] = high
    high = falsified.clamp(max=most)
    proved, low = torch.zeros(count, dtype=torch.float64), high * FINEST
    tried = low
    for _ in range(ROUNDS + 1):
        holds = _proved(subject, claim, *boxes(tried))
        proved = torch.where(holds, tried, proved)
        low, high = torch.where(holds, tried, low), torch.where(holds, high, tried)
        tried = (low * high).sqrt()
    return Radii(proved, falsified)


def _violated(
    subject: Subject,
    claim: Robustness,
    boxes: Callable[[Tensor], tuple[Tensor, Tensor]],
    count: int,
    row: int,
    error: float,
) -> bool:
    lower, upper = boxes(torch.full((count,), error, dtype=torch.float64))
    return falsify(subject, claim, lower[row], upper[row], row) is not None


def _proved(subject: Subject, claim: Robustness, lower: Tensor, upper: Tensor) -> Tensor:
    rows = torch.arange(len(lower)).split(BATCH)
    return torch.cat([claim.margin(subject.enclose(lower[row], upper[row]), row) for row in rows]) >= 0

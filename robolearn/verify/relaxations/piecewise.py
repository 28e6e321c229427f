"""Functions made of straight pieces: with the knots among the points, chords are the function itself."""

from __future__ import annotations

import torch
from torch import Tensor

from robolearn.verify.relaxations.function import Function, Lines
from robolearn.verify.rounding import DOUBLE, TINY


class PiecewiseLinear(Function):
    """Continuous and linear between its knots.

    Between l, the knots that lie within [l, u], and u the function is its own chord, so that the least and the
    greatest of s(x) - a x over [l, u] are at one of these points: the lines are exact.

    Attributes:
        knots: Where the slope changes, in order.
    """

    knots: tuple[float, ...]

    def points(self, lower: Tensor, upper: Tensor) -> Tensor:
        """The ends, and the knots cut to them."""
        return torch.stack([lower, *(torch.clamp(torch.full_like(lower, k), lower, upper) for k in self.knots), upper])

    def is_straight(self, lower: Tensor, upper: Tensor) -> Tensor:
        """Where no knot lies inside."""
        return ~torch.stack([(lower < k) & (k < upper) for k in self.knots]).any(0)

    def bulge(self, lower: Tensor, upper: Tensor) -> Tensor | float:
        """None."""
        return 0.0

    def evaluation_error(self, lower: Tensor, upper: Tensor, unit: float) -> Tensor:
        """One product at most."""
        return unit * torch.maximum(lower.abs(), upper.abs())


class Relu(PiecewiseLinear):
    """max(x, 0)."""

    knots = (0.0,)

    def __call__(self, x: Tensor) -> Tensor:
        """max(x, 0)."""
        return x.clamp(min=0)

    def interval(self, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        """It is monotone, and rounds nothing."""
        return lower.clamp(min=0), upper.clamp(min=0)

    def evaluation_error(self, lower: Tensor, upper: Tensor, unit: float) -> Tensor:
        """None: it is a comparison."""
        return torch.zeros_like(lower)

    def lines(self, lower: Tensor, upper: Tensor) -> Lines:
        """The chord above, and below 0 or x, whichever is higher in the middle (Zhang et al. 2018, table 2).

        The same as the general rule in a fifth of the time.
        """
        active, dead = lower >= 0, upper <= 0
        split = ~(active | dead)
        slope = torch.where(split, upper / torch.where(split, upper - lower, 1.0), active.to(lower))
        # The chord passes through (l, 0) and (u, u); rounded, its offset has to reach both.
        offset = torch.where(split, torch.maximum(-slope * lower, upper - slope * upper), 0.0)
        error = torch.where(split, 8 * DOUBLE * (upper - lower) + TINY, 0.0)
        below = torch.where(split, (upper > -lower).to(lower), slope)
        return Lines(below, torch.zeros_like(below), slope, offset + error)


class LeakyRelu(PiecewiseLinear):
    """max(x, 0) + slope min(x, 0).

    Args:
        slope: Below 0; any number.
    """

    knots = (0.0,)

    def __init__(self, slope: float) -> None:
        self.slope = slope

    def __call__(self, x: Tensor) -> Tensor:
        """Piece by piece."""
        return x.clamp(min=0) + self.slope * x.clamp(max=0)

    def evaluation_error(self, lower: Tensor, upper: Tensor, unit: float) -> Tensor:
        """A product with the slope, which may be rounded too."""
        return max(1.0, 2 * abs(self.slope)) * super().evaluation_error(lower, upper, unit)


class Clip(PiecewiseLinear):
    """min(max(x, least), most).

    Args:
        least: Below which nothing passes; may be -inf.
        most: Above which nothing passes; may be inf.
    """

    def __init__(self, least: float, most: float) -> None:
        assert least <= most, "limits are given in order"
        self.least, self.most = self.knots = least, most

    def __call__(self, x: Tensor) -> Tensor:
        """Cut x."""
        return x.clamp(self.least, self.most)


class Absolute(PiecewiseLinear):
    """|x|."""

    knots = (0.0,)

    def __call__(self, x: Tensor) -> Tensor:
        """|x|."""
        return x.abs()

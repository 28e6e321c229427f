"""What a function of one number has to tell, so that linear bounds pass through it.

For l <= x <= u a relaxation is two lines with  al x + bl <= s(x) <= au x + bu.  Whoever chooses the slopes, whether by
a rule or by gradient, cannot make it wrong: the offset of a slope is computed here, from the function itself.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robolearn.verify.rounding import DOUBLE, TINY, ULPS


@dataclass(frozen=True)
class Lines:
    """Two lines per number, tensors [b, n]: lower_slope x + lower_offset <= s(x) <= upper_slope x + upper_offset."""

    lower_slope: Tensor
    lower_offset: Tensor
    upper_slope: Tensor
    upper_offset: Tensor


class Function(ABC):
    """s, applied to each number of a tensor alike, in float64.

    Attributes:
        range: All values of the function lie between these.
    """

    range: ClassVar[tuple[float, float]] = (-math.inf, math.inf)

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """s(x)."""

    @abstractmethod
    def points(self, lower: Tensor, upper: Tensor) -> Tensor:
        """Points [g, b, n] from l to u, in order, between which the function departs little from its chords."""

    @abstractmethod
    def bulge(self, lower: Tensor, upper: Tensor) -> Tensor | float:
        """Most that the function departs from a chord between neighboring points."""

    def domain(self, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        """Bounds of x cut to where the function is defined; all numbers for most."""
        return lower, upper

    def is_straight(self, lower: Tensor, upper: Tensor) -> Tensor:
        """Where it is a straight line over all of [l, u], bool [b, n]."""
        return torch.zeros_like(lower, dtype=torch.bool)

    def curving(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Least and greatest second derivative between neighboring points [g, b, n], [g - 1, b, n] or one for all."""
        unknown = torch.full_like(points[:1], math.inf)
        return -unknown, unknown

    def interval(self, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        """Least and greatest value on [l, u].

        A chord lies between its ends, and the function within the bulge of its chord.
        """
        lower, upper = self.domain(lower, upper)
        values = self(self.points(lower, upper))
        error = self.bulge(lower, upper) + 2 * ULPS * DOUBLE * values.abs().amax(0) + TINY
        return (values.amin(0) - error).clamp(*self.range), (values.amax(0) + error).clamp(*self.range)

    def evaluation_error(self, lower: Tensor, upper: Tensor, unit: float) -> Tensor:
        """How far s(x) is from what arithmetic with this unit roundoff makes of it."""
        least, most = self.interval(lower, upper)
        return ULPS * unit * torch.maximum(least.abs(), most.abs())

    def lines(self, lower: Tensor, upper: Tensor) -> Lines:
        """The lines that are tightest in the middle of [l, u], among a few."""
        lower, upper = self.domain(lower, upper)
        points = self.points(lower, upper)
        values = self(points)
        return self._lines(lower, upper, points, values, *_slopes(points, values))

    def lines_of(self, lower: Tensor, upper: Tensor, lower_slope: Tensor, upper_slope: Tensor) -> Lines:
        """The lines of given slopes; differentiable with respect to them."""
        lower, upper = self.domain(lower, upper)
        points = self.points(lower, upper)
        return self._lines(lower, upper, points, self(points), lower_slope, upper_slope)

    def _lines(self, lower: Tensor, upper: Tensor, points: Tensor, values: Tensor, low: Tensor, high: Tensor) -> Lines:
        """s(x) - a x departs from its chords as s does, and is least (greatest) at one of their ends."""
        reach = torch.maximum(lower.abs(), upper.abs())
        error = self.bulge(lower, upper) + 2 * ULPS * DOUBLE * values.abs().amax(0) + TINY
        return Lines(
            low,
            (values - low * points).amin(0) - error - 4 * DOUBLE * low.abs() * reach,
            high,
            (values - high * points).amax(0) + error + 4 * DOUBLE * high.abs() * reach,
        )


def _slopes(points: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Slopes of a line below and of one above that are nearly as tight as any in the middle of [l, u].

    The highest line below at the middle touches the convex hull there. That is the tangent, or a line through one of
    the ends that just stays below; the best of the three is taken.
    """
    width, middle = points[-1] - points[0], len(points) // 2
    after = min(middle + 1, len(points) - 1)
    tangent = _ratio(values[after] - values[middle - 1], points[after] - points[middle - 1], width)
    left = _ratio(values[1:] - values[0], points[1:] - points[0], width)
    right = _ratio(values[-1] - values[:-1], points[-1] - points[:-1], width)
    center = points[0] + width / 2

    def best(candidates: list[Tensor], sign: float) -> Tensor:
        heights = [sign * slope * center + (sign * (values - slope * points)).amin(0) for slope in candidates]
        choice = torch.stack(heights).argmax(0, keepdim=True)
        return torch.stack(candidates).gather(0, choice)[0]

    return best([tangent, left.amin(0), right.amax(0)], 1.0), best([tangent, left.amax(0), right.amin(0)], -1.0)


def _ratio(rise: Tensor, run: Tensor, width: Tensor) -> Tensor:
    """A slope; 0 where the points are so near to each other that their difference is noise."""
    apart = run > 1e-9 * width.clamp(min=1e-9)
    return torch.where(apart, rise / torch.where(apart, run, 1.0), 0.0)

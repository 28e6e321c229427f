"""Convex functions: below lies every tangent, above the chord.

s(x) - a x is convex too: it is least where s'(x) = a, and greatest at an end.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from robolearn.verify.relaxations.function import Function, Lines
from robolearn.verify.rounding import DOUBLE, ULPS


class Convex(Function):
    """A convex function on its domain."""

    @abstractmethod
    def slope(self, x: Tensor) -> Tensor:
        """s'(x)."""

    @abstractmethod
    def second(self, x: Tensor) -> Tensor:
        """s''(x); monotone."""

    @abstractmethod
    def touching(self, slope: Tensor) -> Tensor:
        """Where s' has this value; any number where it has it nowhere."""

    def points(self, lower: Tensor, upper: Tensor) -> Tensor:
        """The ends, between which a chord is never below the function; and where the function is least."""
        return torch.stack([lower, self.touching(torch.zeros_like(lower)).clamp(lower, upper), upper])

    def bulge(self, lower: Tensor, upper: Tensor) -> Tensor | float:
        """None, as far as least and greatest values are concerned."""
        return 0.0

    def curving(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """It is monotone."""
        second = self.second(points)
        error = 4 * ULPS * DOUBLE * second.abs()
        least, most = second - error, second + error
        return torch.minimum(least[1:], least[:-1]), torch.maximum(most[1:], most[:-1])

    def lines(self, lower: Tensor, upper: Tensor) -> Lines:
        """The tangent in the middle, and the chord."""
        lower, upper = self.domain(lower, upper)
        apart = upper > lower
        chord = torch.where(apart, (self(upper) - self(lower)) / torch.where(apart, upper - lower, 1.0), 0.0)
        return self.lines_of(lower, upper, self.slope((lower + upper) / 2), chord)

    def lines_of(self, lower: Tensor, upper: Tensor, lower_slope: Tensor, upper_slope: Tensor) -> Lines:
        """See Function; the point where a line of this slope touches is one of those that are compared."""
        lower, upper = self.domain(lower, upper)
        touching = self.touching(lower_slope.detach()).clamp(lower, upper)
        points = torch.stack([lower, touching, upper])
        # The touching point is rounded, but s - a x is flat there: what that may miss is a square of a rounding.
        return self._lines(lower, upper, points, self(points), lower_slope, upper_slope)


class Square(Convex):
    """x^2."""

    def __call__(self, x: Tensor) -> Tensor:
        """x^2."""
        return x.square()

    def slope(self, x: Tensor) -> Tensor:
        """2 x."""
        return 2 * x

    def second(self, x: Tensor) -> Tensor:
        """2."""
        return torch.full_like(x, 2.0)

    def touching(self, slope: Tensor) -> Tensor:
        """A / 2."""
        return slope / 2


class Exponential(Convex):
    """exp x; infinite beyond float64, so that nothing is proved there."""

    def __call__(self, x: Tensor) -> Tensor:
        """Exp x."""
        return x.exp()

    def slope(self, x: Tensor) -> Tensor:
        """Exp x."""
        return x.exp()

    def second(self, x: Tensor) -> Tensor:
        """Exp x."""
        return x.exp()

    def touching(self, slope: Tensor) -> Tensor:
        """Log a."""
        return slope.clamp(min=1e-300).log()


class Positive(Convex):
    """A convex function that is decreasing and of positive numbers alone.

    Args:
        floor: Below which the argument never is, whatever its bounds say; above 0.
    """

    def __init__(self, floor: float) -> None:
        assert floor > 0, "only positive numbers have a value"
        self.floor = floor

    def domain(self, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        """Cut at the floor."""
        return lower.clamp(min=self.floor), upper.clamp(min=self.floor)


class Reciprocal(Positive):
    """1 / x."""

    def __call__(self, x: Tensor) -> Tensor:
        """1 / x."""
        return x.reciprocal()

    def slope(self, x: Tensor) -> Tensor:
        """-1 / x^2."""
        return -x.square().reciprocal()

    def second(self, x: Tensor) -> Tensor:
        """2 / x^3."""
        return 2 * x.pow(-3)

    def touching(self, slope: Tensor) -> Tensor:
        """1 / sqrt(-a)."""
        return (-slope).clamp(min=1e-300).rsqrt()


class ReciprocalRoot(Positive):
    """1 / sqrt(x)."""

    def __call__(self, x: Tensor) -> Tensor:
        """1 / sqrt(x)."""
        return x.rsqrt()

    def slope(self, x: Tensor) -> Tensor:
        """-x^(-3/2) / 2."""
        return -x.pow(-1.5) / 2

    def second(self, x: Tensor) -> Tensor:
        """3 x^(-5/2) / 4."""
        return 0.75 * x.pow(-2.5)

    def touching(self, slope: Tensor) -> Tensor:
        """(-2 a)^(-2/3)."""
        return (-2 * slope).clamp(min=1e-300).pow(-2 / 3)

"""Smooth functions that are neither convex nor concave: a grid, and a bound on the second derivative.

Between two points that are h apart, a function with |s''| <= M departs from its chord by at most M h^2 / 8 (the error
of linear interpolation). Far from 0 most activations are straight lines but for a remainder that is named; the grid
then covers the core, and a chord over the tail departs by at most twice the remainder.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from robolearn.verify.relaxations.function import Function
from robolearn.verify.rounding import ULPS

GRID = 16  # cells of the core
CORE = 16.0  # beyond which the activations here are straight, up to REMAINDER
REMAINDER = 2e-6  # 16 exp(-16) = 1.8e-6, of silu, is the largest


class Smooth(Function):
    """A function with a bounded second derivative.

    Attributes:
        curvature: Most of |s''|, over all numbers.
        core: Where the function is curved: within [-core, core].
        spread: Most that the function departs from any chord.
    """

    curvature: ClassVar[float]
    core: ClassVar[float] = CORE
    spread: ClassVar[float] = math.inf

    def points(self, lower: Tensor, upper: Tensor) -> Tensor:
        """The ends, and a grid over what of the core is between them."""
        low, high = lower.clamp(-self.core, self.core), upper.clamp(-self.core, self.core)
        share = torch.linspace(0, 1, GRID + 1, dtype=lower.dtype).view(-1, *[1] * lower.dim())
        grid = low + share * (high - low)
        return torch.cat([lower[None], grid, upper[None]])

    def curving(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Nowhere more than is known of all numbers."""
        most = torch.full_like(points[:1], self.curvature)
        return -most, most

    def bulge(self, lower: Tensor, upper: Tensor) -> Tensor:
        """That of a cell, or of the tails."""
        low, high = lower.clamp(-self.core, self.core), upper.clamp(-self.core, self.core)
        cell = (high - low) / GRID * (1 + 1e-12)
        tail = 2 * REMAINDER * ((lower < low) | (upper > high))
        return torch.maximum((self.curvature / 8 * cell.square()).clamp(max=self.spread), tail)


class Tanh(Smooth):
    """tanh; s'' = -2 s (1 - s^2) is at most 4 / (3 sqrt 3), where s^2 = 1/3. In the tail 1 - |s| < 2 exp(-32)."""

    curvature = 4 / (3 * math.sqrt(3)) * (1 + 1e-12)
    range = (-1.0, 1.0)

    def __call__(self, x: Tensor) -> Tensor:
        """Tanh x."""
        return x.tanh()


class Sigmoid(Smooth):
    """1 / (1 + exp(-x)) = (1 + tanh(x / 2)) / 2, so that s'' is an eighth of tanh's at most; tail exp(-16)."""

    curvature = 1 / (6 * math.sqrt(3)) * (1 + 1e-12)
    range = (0.0, 1.0)

    def __call__(self, x: Tensor) -> Tensor:
        """sigmoid(x)."""
        return x.sigmoid()


class Silu(Smooth):
    """x sigmoid(x).

    s'' = g'(2 - x tanh(x / 2)) with g' = sigmoid'(x) <= 1/4: at 0 it is 1/2, and nowhere more in magnitude. In the
    tail s departs from max(x, 0) by |x| exp(-|x|) at most.
    """

    curvature = 0.5
    range = (-0.2785, math.inf)

    def __call__(self, x: Tensor) -> Tensor:
        """X sigmoid(x)."""
        return x * x.sigmoid()


class Gelu(Smooth):
    """x Phi(x) with the normal law's Phi (Hendrycks and Gimpel 2016).

    s'' = phi(x) (2 - x^2): at 0 it is 2 phi(0), and nowhere more in magnitude. In the tail s departs from max(x, 0) by
    phi(x) at most.
    """

    curvature = 2 / math.sqrt(2 * math.pi) * (1 + 1e-12)
    range = (-0.17, math.inf)

    def __call__(self, x: Tensor) -> Tensor:
        """By erfc, which keeps its digits where Phi is small."""
        return x / 2 * torch.special.erfc(-x / math.sqrt(2))

    def evaluation_error(self, lower: Tensor, upper: Tensor, unit: float) -> Tensor:
        """Evaluated by 1 + erf, it loses the digits of Phi where that is small."""
        return ULPS * unit * torch.maximum(lower.abs(), upper.abs())


class Sine(Smooth):
    """sin x. Over many periods a chord may be off by 2."""

    curvature, core, spread = 1.0, math.inf, 2.0
    range = (-1.0, 1.0)

    def __call__(self, x: Tensor) -> Tensor:
        """Sin x."""
        return x.sin()

    def evaluation_error(self, lower: Tensor, upper: Tensor, unit: float) -> Tensor:
        """Libraries reduce the angle by multiples of pi."""
        return ULPS * unit * (1 + torch.zeros_like(lower))


class Cosine(Sine):
    """cos x."""

    def __call__(self, x: Tensor) -> Tensor:
        """Cos x."""
        return x.cos()

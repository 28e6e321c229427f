"""A parabola near a function, and how far they are apart: like lines, sound for any coefficients.

The parabola passes through the function at three points, which leaves a remainder of third order. How far the two are
apart is seen on a grid: between neighboring points that are h apart, their difference departs from its chord by at
most  max |s'' - 2 a| h^2 / 8  (the error of linear interpolation), with a the coefficient of the square.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from robolearn.verify.relaxations.function import Function
from robolearn.verify.rounding import DOUBLE, TINY, ULPS

CELLS = 48
NODES = math.sqrt(3) / 2  # of interpolation on [-1, 1], beside 0: there the remainder is smallest (Chebyshev)


@dataclass(frozen=True)
class Parabola:
    """|s(x) - value - slope (x - center) - square (x - center)^2| <= error for l <= x <= u, tensors [b, n] each."""

    value: Tensor
    slope: Tensor
    square: Tensor
    error: Tensor


def parabola(function: Function, center: Tensor, lower: Tensor, upper: Tensor) -> Parabola:
    """One near a function over [l, u], in powers of the distance from any center.

    Args:
        function: s.
        center: [b, n].
        lower: [b, n].
        upper: [b, n].
    """
    lower, upper = function.domain(lower, upper)
    middle, step = (lower + upper) / 2, (upper - lower) / 2 * NODES
    low, value, high = function(middle - step), function(middle), function(middle + step)
    apart = step > 1e-9 * (1 + middle.abs())
    run = torch.where(apart, step, 1.0)
    square = torch.where(apart, (low + high - 2 * value) / (2 * run.square()), 0.0)
    slope = torch.where(apart, (high - low) / (2 * run), 0.0)
    off = center - middle
    value, slope = value + slope * off + square * off.square(), slope + 2 * square * off
    least, most = _difference(function, (value, slope, square), center, lower, upper)
    rounding = 8 * DOUBLE * (value.abs() + least.abs() + most.abs())
    return Parabola(value + (least + most) / 2, slope, square, (most - least) / 2 * (1 + 1e-9) + rounding)


def _difference(
    function: Function, powers: tuple[Tensor, Tensor, Tensor], center: Tensor, lower: Tensor, upper: Tensor
) -> tuple[Tensor, Tensor]:
    """Bounds of the function less a polynomial in powers of the distance from a center."""
    value, slope, square = powers
    share = torch.linspace(0, 1, CELLS + 1, dtype=torch.float64).view(-1, *[1] * lower.dim())
    points = (lower + share * (upper - lower)).clamp(lower, upper)
    points[-1] = upper
    x = points - center
    values = function(points)
    difference = values - (value + slope * x + square * x.square())
    least, most = function.curving(points)
    curving = torch.maximum((least - 2 * square).abs(), (most - 2 * square).abs())
    bulge = (curving * points.diff(dim=0).square()).amax(0) / 8 * (1 + 1e-9)
    reach = x.abs().amax(0)
    size = value.abs() + slope.abs() * reach + square.abs() * reach.square()
    error = bulge + 2 * ULPS * DOUBLE * (values.abs().amax(0) + size) + TINY
    return difference.amin(0) - error, difference.amax(0) + error

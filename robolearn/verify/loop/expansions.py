"""Taylor expansions of elementary functions about a point, with a bound on what is left out.

For every x of an interval [l, u] around the center c,

    |f(x) - sum_{k <= n} a_k (x - c)^k| <= error_0 + ... + error_n |x - c|^n + remainder |x - c|^(n+1)

with Lagrange's remainder, the most of |f^(n+1)| / (n+1)! on the interval, and with the rounding of the a_k as errors.
Where the interval leaves the function's domain the remainder is inf.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from robolearn.verify.rounding import DOUBLE, TINY, ULPS


@dataclass(frozen=True)
class Expansion:
    """Coefficients a_k and their errors, [n + 1, b]; remainder [b]."""

    coefficients: Tensor
    errors: Tensor
    remainder: Tensor


STRIP = 1.2  # around the real numbers, in which tanh is bounded
Expand = Callable[[Tensor, Tensor, Tensor, int], Expansion]
"""From center, lower, upper [b] with lower <= center <= upper, and n."""


def sine(center: Tensor, lower: Tensor, upper: Tensor, n: int) -> Expansion:
    """sin: its derivatives are sin, cos, -sin, -cos, none of them above 1."""
    return _periodic(center.sin(), center.cos(), n)


def cosine(center: Tensor, lower: Tensor, upper: Tensor, n: int) -> Expansion:
    """cos: the same, from its second place on."""
    return _periodic(center.cos(), -center.sin(), n)


def exponential(center: Tensor, lower: Tensor, upper: Tensor, n: int) -> Expansion:
    """exp: its derivatives are itself, greatest at the upper end."""
    factorials = _factorials(n, center)
    a = center.exp() / factorials
    return _expansion(a, upper.exp() / math.factorial(n + 1))


def reciprocal(center: Tensor, lower: Tensor, upper: Tensor, n: int) -> Expansion:
    """1 / x: a_k = (-1)^k / c^(k+1); Lagrange's remainder is 1 / |x|^(n+2) at the end nearer to 0."""
    nearest = torch.minimum(lower.abs(), upper.abs())
    inside = (lower > 0) | (upper < 0)
    c = torch.where(inside, center, 1.0)
    a = torch.stack([(-1) ** k * c ** -(k + 1) for k in range(n + 1)])
    return _expansion(a, torch.where(inside, nearest ** -(n + 2), math.inf))


def square_root(center: Tensor, lower: Tensor, upper: Tensor, n: int) -> Expansion:
    """sqrt: a_k = binomial(1/2, k) c^(1/2 - k); the next one, at the lower end, bounds the remainder."""
    inside = lower > 0
    c, least = torch.where(inside, center, 1.0), torch.where(inside, lower, 1.0)
    binomials = [1.0]
    for k in range(n + 1):
        binomials.append(binomials[-1] * (0.5 - k) / (k + 1))
    a = torch.stack([binomials[k] * c ** (0.5 - k) for k in range(n + 1)])
    return _expansion(a, torch.where(inside, abs(binomials[n + 1]) * least ** (-0.5 - n), math.inf))


def logarithm(center: Tensor, lower: Tensor, upper: Tensor, n: int) -> Expansion:
    """log: a_k = (-1)^(k+1) / (k c^k); the next one, at the lower end, bounds the remainder."""
    inside = lower > 0
    c, least = torch.where(inside, center, 1.0), torch.where(inside, lower, 1.0)
    a = torch.stack([c.log(), *((-1) ** (k + 1) / (k * c**k) for k in range(1, n + 1))])
    return _expansion(a, torch.where(inside, 1 / ((n + 1) * least ** (n + 1)), math.inf))


def hyperbolic_tangent(center: Tensor, lower: Tensor, upper: Tensor, n: int) -> Expansion:
    """tanh: y' = 1 - y^2 gives (k + 1) a_(k+1) = [k = 0] - sum_i a_i a_(k-i), and how errors grow along.

    The remainder is Cauchy's: where |Im z| <= r, pi / 4 <= r < pi / 2, no |tanh z| exceeds tan r, so that
    |a_k| <= tan(r) / r^k around every real number.
    """
    a, errors = [center.tanh()], [4 * ULPS * DOUBLE * center.tanh().abs() + TINY]
    for k in range(n):
        forward, backward, off = torch.stack(a), torch.stack(a[::-1]), torch.stack(errors)
        a.append((float(k == 0) - (forward * backward).sum(0)) / (k + 1))
        rounded = (k + 8) * DOUBLE * ((forward * backward).abs().sum(0) + 1)
        carried = ((2 * backward.abs() + off.flip(0)) * off).sum(0)
        errors.append((rounded + carried) * (1 + 1e-9))
    remainder = math.tan(STRIP) / STRIP ** (n + 1) * (1 + 1e-9)
    return Expansion(torch.stack(a), torch.stack(errors), torch.full_like(center, remainder))


def _periodic(value: Tensor, derivative: Tensor, n: int) -> Expansion:
    """Of a function whose second derivative is its negative."""
    cycle = torch.stack([value, derivative, -value, -derivative])
    a = cycle[torch.arange(n + 1) % 4] / _factorials(n, value)
    return _expansion(a, torch.full_like(value, 1 / math.factorial(n + 1)))


def _factorials(n: int, like: Tensor) -> Tensor:
    return torch.tensor([[math.factorial(k)] for k in range(n + 1)], dtype=like.dtype)


def _expansion(a: Tensor, remainder: Tensor) -> Expansion:
    """With the errors of libraries and of the few operations that made the coefficients."""
    relative = (4 * len(a) + 2 * ULPS) * DOUBLE
    return Expansion(a, relative * a.abs() + TINY, remainder * (1 + relative) + TINY)

"""Numbers as polynomials of second order in a network's input, with symbols for what these leave out.

    middle + L + Q + e,     L = sum_k l_k t_k,     Q = sum_{k <= l} q_kl t_k t_l,     |e| <= sum_j |e_j| + rest

for inputs  center + radius t  with t in [-1, 1] and symbols in [-1, 1]: a Taylor model (Makino and Berz 2003) whose
remainder is a zonotope (Girard 2005). No monomial exceeds 1, so that the rounding of a coefficient counts by its
magnitude.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import pad

from robolearn.verify.graph import Bounds
from robolearn.verify.rounding import DOUBLE, SINGLE, SPARE, TINY, center_radius, gamma

GROWN = 1 + 1e-9  # sums and products of positive numbers are rounded by less


@dataclass(frozen=True)
class Quadratic:
    """Numbers as polynomials of second order in t, and what is left.

    Attributes:
        terms: Coefficients of 1, of t_k, of t_k t_l with k <= l, and of the symbols [b, n, c].
        rest: What else there may be, in either direction [b, n].
        pairs: The k and l of the products [2, p].
    """

    terms: Tensor
    rest: Tensor
    pairs: Tensor

    @property
    def middle(self) -> Tensor:
        """Coefficients of 1 [b, n]."""
        return self.terms[..., 0]

    @property
    def slope(self) -> Tensor:
        """Coefficients of t_k [b, n, d]."""
        return self.terms[..., 1 : 1 + self._inputs]

    @property
    def _inputs(self) -> int:
        return int(self.pairs[0, -1]) + 1

    @cached_property
    def size(self) -> Tensor:
        """What no number exceeds in magnitude, nor what it is a sum of [b, n]."""
        return (self.terms.abs().sum(2) + self.rest) * GROWN

    @cached_property
    def linear(self) -> Tensor:
        """Most of |L| [b, n]."""
        return self.slope.abs().sum(2) * GROWN

    @cached_property
    def beyond(self) -> Bounds:
        """Least and greatest Q + e [b, n]. A square is in [0, 1], other products in [-1, 1]."""
        after = self.terms[..., 1 + self._inputs :]
        squares = after[..., (self.pairs[0] == self.pairs[1]).nonzero()[:, 0]]
        most, least = squares.clamp(min=0).sum(2), squares.clamp(max=0).sum(2)
        others = (
            after.abs().sum(2)
            - squares.abs().sum(2)
            + self.rest
            + 4 * gamma(SPARE + after.shape[2], DOUBLE) * self.size
        )
        return (least - others) * GROWN, (most + others) * GROWN

    @property
    def bounds(self) -> Bounds:
        """Of the numbers [b, n]."""
        (least, most), rounding = self.beyond, 4 * gamma(SPARE + self._inputs, DOUBLE) * self.size + TINY
        return self.middle - self.linear + least - rounding, self.middle + self.linear + most + rounding

    def deviation(self, bounds: Bounds) -> tuple[Tensor, Tensor, Tensor]:
        """Most of |d|, |L| and |d - L| [b, n], for numbers that are also between bounds."""
        whole = torch.maximum(bounds[1] - self.middle, self.middle - bounds[0]).clamp(min=0) * GROWN
        beyond = torch.maximum(self.beyond[1], -self.beyond[0])
        linear = torch.minimum(self.linear, (whole + beyond) * GROWN)
        return whole, linear, torch.minimum(beyond, (whole + self.linear) * GROWN)

    def products(self, other: Quadratic) -> Tensor:
        """Of L and another's, coefficients of t_k t_l [b, n, p]."""
        (i, j), x, y = self.pairs, self.slope, other.slope
        return (x[..., i] * y[..., j] + x[..., j] * y[..., i]) * torch.where(i == j, 0.5, 1.0)

    def with_products(self, products: Tensor) -> Quadratic:
        """With these added."""
        first = 1 + self._inputs
        self.terms[..., first : first + products.shape[2]] += products
        return self


def has_width(lower: Tensor, upper: Tensor) -> Tensor:
    """Which numbers of an input have more of it than float32 rounds, in any of the boxes [b, n], bool [n]."""
    center, radius = center_radius(lower, upper)
    return (radius > 16 * SINGLE * center.abs() + 1e-20).any(0)


def quadratic_box(lower: Tensor, upper: Tensor) -> Quadratic:
    """Boxes [b, n] themselves, with a t_k for each number that has a width."""
    center, radius = center_radius(lower, upper)
    wide = has_width(lower, upper).nonzero()[:, 0]
    pairs = torch.triu_indices(len(wide), len(wide))
    terms = pad(center[..., None], (0, len(wide) + pairs.shape[1]))
    terms[:, wide, 1 + torch.arange(len(wide))] = radius[:, wide]
    return Quadratic(terms, radius.index_fill(1, wide, 0.0), pairs)

"""Which monomials a Taylor model keeps, and what becomes of products of two."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import combinations_with_replacement, pairwise

import torch
from torch import Tensor

from robolearn.verify.rounding import DOUBLE

PIECES = 2  # of the unit of time, in which a polynomial is bounded apart


@dataclass(frozen=True)
class Basis:
    """Monomials in initial variables, error symbols and time, all of them scaled so that no monomial exceeds 1.

    A monomial is a spatial one times a power of time. Spatial are the products of initial variables e in [-1, 1] up to
    a total degree, and the error symbols z in [-1, 1], each alone: what nonlinear dynamics make of an error is smaller
    than the error, and goes into the remainder. Time t is in [0, 1], the share of the step that has passed.

    Attributes:
        variables: How many initial variables.
        order: Highest total degree in them; at least 1.
        symbols: How many error symbols.
        degree: Highest power of time; 0 for sets at one instant.
    """

    variables: int
    order: int
    symbols: int
    degree: int

    @cached_property
    def exponents(self) -> list[tuple[int, ...]]:
        """Of the initial variables, per product of them, by total degree; 1 comes first."""
        products = [c for d in range(self.order + 1) for c in combinations_with_replacement(range(self.variables), d)]
        return [tuple(c.count(i) for i in range(self.variables)) for c in products]

    @property
    def size(self) -> int:
        """Number of spatial monomials: 1, products of initial variables, error symbols."""
        return len(self.exponents) + self.symbols

    @cached_property
    def squares(self) -> Tensor:
        """Int [q]: the spatial monomials that are squares and so lie in [0, 1]; 1 itself is none."""
        even = [any(alpha) and all(a % 2 == 0 for a in alpha) for alpha in self.exponents]
        return torch.tensor(even).nonzero().flatten()

    @cached_property
    def pairs(self) -> tuple[Tensor, Tensor, Tensor]:
        """Products of two spatial monomials that are kept, those with 1 aside: the two, and what they make; int [p]."""
        index = {alpha: i for i, alpha in enumerate(self.exponents)}
        made = [
            (i, j, index[total])
            for i, a in enumerate(self.exponents)
            for j, b in enumerate(self.exponents)
            if i and j and (total := tuple(x + y for x, y in zip(a, b, strict=True))) in index
        ]
        left, right, into = torch.tensor(made, dtype=torch.long).reshape(-1, 3).T
        return left, right, into

    @cached_property
    def collected(self) -> Tensor:
        """0 or 1, [size, p]: adds up what the pairs make."""
        _, _, into = self.pairs
        return torch.nn.functional.one_hot(into, self.size).T.double()

    @cached_property
    def lags(self) -> Tensor:
        """Int [t, t]: with a 0 put behind its coefficients c, c[lags] multiplies a polynomial in time by another one.

        Entry (i, j) takes power i to power j; where there is no such power it is the index of the 0.
        """
        power = torch.arange(self.degree + 1)
        lag = power[None, :] - power[:, None]
        return torch.where(lag >= 0, lag, self.degree + 1)

    @cached_property
    def classes(self) -> Tensor:
        """0 or 1, [order + 2, size]: the monomials of each total degree, and the error symbols as the last class."""
        degrees = [sum(alpha) for alpha in self.exponents] + [self.order + 1] * self.symbols
        return torch.nn.functional.one_hot(torch.tensor(degrees), self.order + 2).T.double()

    @cached_property
    def dropped(self) -> Tensor:
        """0 or 1, [c t, c t]: pairs of classes with powers of time whose product has no place in the basis."""
        grade = torch.arange(self.order + 2)
        # An error symbol counts as the highest degree: it can be multiplied by constants alone.
        grade[-1] = self.order
        space = grade[:, None] + grade[None, :] > self.order
        power = torch.arange(self.degree + 1)
        time = power[:, None] + power[None, :] > self.degree
        pairs = space[:, None, :, None] | time[None, :, None, :]
        return pairs.reshape(len(grade) * len(power), -1).double()

    @cached_property
    def rounding(self) -> float:
        """Relative error of one coefficient of a product: a sum of so many products."""
        most = (2 + int(self.collected.sum(1).max())) * (self.degree + 1)
        return (most + 2) * DOUBLE / (1 - (most + 2) * DOUBLE)

    @cached_property
    def bernstein(self) -> Tensor:
        """[PIECES (t), t]: from a polynomial in time to its coefficients in the Bernstein bases of parts of [0, 1].

        At each time of a part the polynomial is a mean of those of the part. Entries lie in [0, 1]: they are
        the blossom of a power, means of products of the part's ends.
        """
        d = self.degree
        ends = [Fraction(i, PIECES) for i in range(PIECES + 1)]
        rows = [[_blossom(d, i, j, *part) for j in range(d + 1)] for part in pairwise(ends) for i in range(d + 1)]
        return torch.tensor(rows, dtype=torch.float64)


def _blossom(d: int, i: int, j: int, start: Fraction, end: Fraction) -> float:
    """Coefficient i of t^j in the Bernstein basis of degree d on [start, end]."""
    ways = [math.comb(i, k) * math.comb(d - i, j - k) * end**k * start ** (j - k) for k in range(min(i, j) + 1)]
    return float(sum(ways, start=Fraction(0)) / math.comb(d, j))

"""Which monomials a Taylor model keeps, and what becomes of products of two."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement

import torch
from torch import Tensor

from robolearn.verify.rounding import DOUBLE


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
    def even(self) -> Tensor:
        """Bool [size]: a square, so that it lies in [0, 1]; 1 itself is none."""
        squares = [any(alpha) and all(a % 2 == 0 for a in alpha) for alpha in self.exponents]
        return torch.tensor(squares + [False] * self.symbols)

    @cached_property
    def pairs(self) -> tuple[Tensor, Tensor, Tensor]:
        """The two of every product of spatial monomials that is kept, and which monomial they make; int [p] each."""
        index = {alpha: i for i, alpha in enumerate(self.exponents)}
        made = [
            (i, j, index[total])
            for i, a in enumerate(self.exponents)
            for j, b in enumerate(self.exponents)
            if (total := tuple(x + y for x, y in zip(a, b, strict=True))) in index
        ]
        alone = range(len(self.exponents), self.size)
        made += [(0, z, z) for z in alone] + [(z, 0, z) for z in alone]
        left, right, into = torch.tensor(sorted(made, key=lambda pair: pair[2])).T
        return left, right, into

    @cached_property
    def collected(self) -> Tensor:
        """0 or 1, [size, p]: adds up what the pairs make."""
        _, _, into = self.pairs
        return torch.nn.functional.one_hot(into, self.size).T.double()

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
        most = int(self.collected.sum(1).max()) * (self.degree + 1)
        return (most + 2) * DOUBLE / (1 - (most + 2) * DOUBLE)

    @cached_property
    def bernstein(self) -> Tensor:
        """[degree + 1, degree + 1]: a polynomial in time, from its coefficients to those in the Bernstein basis.

        The polynomial is at each time in [0, 1] a mean of the latter.
        """
        d = self.degree
        rows = [[math.comb(i, j) / math.comb(d, j) if j <= i else 0.0 for j in range(d + 1)] for i in range(d + 1)]
        return torch.tensor(rows, dtype=torch.float64)

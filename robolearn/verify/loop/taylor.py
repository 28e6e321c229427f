"""Taylor models: polynomials with a bound on what they leave out, and the arithmetic of them (Makino and Berz 2003).

A model stands for every function of the initial variables, the error symbols and time that departs from its polynomial
by at most its radius, everywhere in the unit domain of the `Basis`. Each operation here returns a model that holds
f + g, f g ... for all f and g that its operands hold: what a polynomial cannot keep goes into the radius, and so does
the rounding of its coefficients. As no monomial exceeds 1, the error of a coefficient counts by its magnitude.

A model of a constant polynomial is an interval.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from robolearn.verify.loop import expansions
from robolearn.verify.loop.basis import Basis
from robolearn.verify.loop.expansions import Expand
from robolearn.verify.loop.operand import Operand, is_number, refuse
from robolearn.verify.rounding import DOUBLE, TINY, down, up

GROWTH = 1 + 2.0**-40  # sums and products of up to 4000 positive numbers are rounded by less
LARGEST_POWER = 64


def spare(radius: Tensor) -> Tensor:
    """A bound that was computed from positive numbers, widened by all that was rounded in computing it."""
    return radius * GROWTH + TINY


@dataclass(frozen=True, eq=False)
class TaylorModel(Operand):
    """One quantity over a batch of boxes: of states, of a derivative, of a control.

    Attributes:
        basis: Its monomials.
        coefficients: [b, s, t], per box, spatial monomial and power of time; float64.
        radius: [b], at least 0; inf where nothing is known.
    """

    basis: Basis
    coefficients: Tensor
    radius: Tensor

    @classmethod
    def constant(cls, basis: Basis, value: Tensor) -> TaylorModel:
        """The numbers [b] themselves."""
        coefficients = value.new_zeros(len(value), basis.size, basis.degree + 1)
        coefficients[:, 0, 0] = value
        return TaylorModel(basis, coefficients, torch.zeros_like(value))

    @classmethod
    def interval(cls, basis: Basis, lower: Tensor, upper: Tensor) -> TaylorModel:
        """All numbers between bounds [b]."""
        center = lower + (upper - lower) / 2
        return TaylorModel.constant(basis, center).widened(up(torch.maximum(upper - center, center - lower)))

    def widened(self, radius: Tensor) -> TaylorModel:
        """With so much more radius [b]."""
        return TaylorModel(self.basis, self.coefficients, spare(self.radius + radius))

    def rows(self, index: Tensor) -> TaylorModel:
        """Of some boxes only: indices, or bool [b]."""
        return replace(self, coefficients=self.coefficients[index], radius=self.radius[index])

    def replaced(self, index: Tensor, other: TaylorModel) -> TaylorModel:
        """With those of another model in place of some boxes."""
        return replace(
            self,
            coefficients=self.coefficients.index_copy(0, index, other.coefficients),
            radius=self.radius.index_copy(0, index, other.radius),
        )

    @property
    def center(self) -> Tensor:
        """[b]: the constant coefficient."""
        return self.coefficients[:, 0, 0]

    @property
    def deviation(self) -> TaylorModel:
        """Without the constant coefficient."""
        coefficients = self.coefficients.clone()
        coefficients[:, 0, 0] = 0
        return TaylorModel(self.basis, coefficients, self.radius)

    @cached_property
    def deviating(self) -> Tensor:
        """The coefficients without those of time alone."""
        return torch.cat([torch.zeros_like(self.coefficients[:, :1]), self.coefficients[:, 1:]], 1)

    @cached_property
    def norms(self) -> Tensor:
        """[b, c, t]: no value of the monomials of a class and a power of time exceeds it."""
        return self.basis.classes @ self.coefficients.abs()

    @cached_property
    def magnitude(self) -> Tensor:
        """[b]: no value of the polynomial exceeds it."""
        return self.norms.sum((1, 2))

    def bounds(self) -> tuple[Tensor, Tensor]:
        """Least and greatest value [b] over the whole domain, rounded outward.

        In the Bernstein basis of time the polynomial at any time is a mean of a few polynomials in space; of these, a
        square lies between 0 and 1, any other monomial between -1 and 1.
        """
        across = self.coefficients @ self.basis.bernstein.T
        constant, squares = across[:, 0], across[:, self.basis.squares]
        spread = across[:, 1:].abs().sum(1)
        most = constant + spread - (-squares).clamp(min=0).sum(1)
        least = constant - spread + squares.clamp(min=0).sum(1)
        count = self.basis.size + self.basis.degree + 8
        slack = spare(4 * count * DOUBLE * self.magnitude + self.radius)
        return down(least.amin(1) - slack), up(most.amax(1) + slack)

    def __neg__(self) -> TaylorModel:
        return replace(self, coefficients=-self.coefficients)

    def __add__(self, other: Any) -> TaylorModel:
        if not isinstance(other, TaylorModel):
            return self._shifted(self._numbers(other)) if is_number(other) else NotImplemented
        return self._rounded(self.coefficients + other.coefficients, self.radius + other.radius)

    def __sub__(self, other: Any) -> TaylorModel:
        return self + -other if isinstance(other, TaylorModel) or is_number(other) else NotImplemented

    def __mul__(self, other: Any) -> TaylorModel:
        if isinstance(other, TaylorModel):
            return self._product(other)
        if not is_number(other):
            return NotImplemented
        factor = self._numbers(other)
        return self._rounded(self.coefficients * factor[:, None, None], self.radius * factor.abs())

    def __truediv__(self, other: Any) -> TaylorModel:
        if isinstance(other, TaylorModel):
            return self * other.apply(expansions.reciprocal)
        if not is_number(other):
            return NotImplemented
        divisor = self._numbers(other)
        return self._rounded(self.coefficients / divisor[:, None, None], self.radius / divisor.abs())

    def __pow__(self, exponent: Any) -> TaylorModel:
        if not is_number(exponent):
            refuse("an exponent that depends on the state")
        power = float(exponent)
        if not power.is_integer():
            return (
                self.apply(expansions.square_root)
                if power == 0.5
                else (self.apply(expansions.logarithm) * power).apply(expansions.exponential)
            )
        if abs(power) > LARGEST_POWER:
            refuse(f"the power {exponent}; {LARGEST_POWER} is the highest")
        result = self.constant(self.basis, torch.ones_like(self.radius))
        for _ in range(abs(int(power))):
            result = result * self
        return result if power >= 0 else result.apply(expansions.reciprocal)

    def apply(self, expand: Expand) -> TaylorModel:
        """An elementary function of this one: its expansion about the center, in powers of the deviation."""
        lower, upper = self.bounds()
        center, deviation = self.center, self.deviation
        n = max(self.basis.order + 1, self.basis.degree)
        series = expand(center, torch.minimum(lower, center), torch.maximum(upper, center), n)
        reach = spare(torch.maximum(upper - center, center - lower) + TINY)
        powers = torch.stack([reach**k for k in range(n + 2)])
        result = deviation * series.coefficients[n] + series.coefficients[n - 1]
        for k in range(n - 2, -1, -1):
            result = result * deviation + series.coefficients[k]
        return result.widened((series.errors * powers[:-1]).sum(0) + series.remainder * powers[-1])

    def _product(self, other: TaylorModel) -> TaylorModel:
        """The kept products as coefficients; the others, the rounding and what the radii contribute as radius."""
        left, right, _ = self.basis.pairs
        a, b = self.coefficients, other.coefficients
        kept = b @ self._in_time(a[:, 0]) + self.deviating @ self._in_time(b[:, 0])
        if len(left):
            made = (a[:, left, :, None] * self._in_time(b[:, right])).sum(2)
            kept = kept + self.basis.collected @ made
        lost = ((self.norms.flatten(1) @ self.basis.dropped) * other.norms.flatten(1)).sum(1)
        norm, norms = self.magnitude, other.magnitude
        error = self.radius * (norms + other.radius) + norm * other.radius
        return TaylorModel(self.basis, kept, spare(lost + error + self.basis.rounding * norm * norms))

    def _in_time(self, coefficients: Tensor) -> Tensor:
        """Matrices [..., t, t] that multiply polynomials in time by those of these coefficients [..., t]."""
        return torch.nn.functional.pad(coefficients, (0, 1))[..., self.basis.lags]

    def _rounded(self, coefficients: Tensor, radius: Tensor) -> TaylorModel:
        """Coefficients that one operation each has made."""
        rounded = DOUBLE * coefficients.abs().sum((1, 2))
        return replace(self, coefficients=coefficients, radius=spare(radius + rounded))

    def _shifted(self, number: Tensor) -> TaylorModel:
        """With another constant."""
        coefficients = self.coefficients.clone()
        coefficients[:, 0, 0] += number
        rounded = DOUBLE * coefficients[:, 0, 0].abs()
        return replace(self, coefficients=coefficients, radius=spare(self.radius + rounded))

    def _numbers(self, value: Any) -> Tensor:
        """A number for all boxes, or one per box, [b]."""
        return torch.as_tensor(value, dtype=torch.float64).expand(self.radius.shape)

"""What is asked of a network: boxes of inputs, and for each the outputs that must never come of it.

A property is violated (*sat*) if one of its cases is: if an input of the case's box has an output in one of the case's
sets of half-spaces. Otherwise it holds (*unsat*). These are the words of VNN-LIB, whose formulas state the violation.

Shape letters: n inputs, m outputs, k half-spaces of a conjunction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robolearn.errors import UserError


@dataclass(frozen=True, eq=False)
class Box:
    """All x with lower <= x <= upper in each dimension.

    Attributes:
        lower: float64 [n], finite.
        upper: float64 [n], finite.

    Raises:
        UserError: The bounds are not two vectors of the same size, or not finite, or a lower one is above its upper.
    """

    lower: Tensor
    upper: Tensor

    def __post_init__(self) -> None:
        object.__setattr__(self, "lower", torch.as_tensor(self.lower, dtype=torch.float64))
        object.__setattr__(self, "upper", torch.as_tensor(self.upper, dtype=torch.float64))
        if self.lower.dim() != 1 or self.lower.shape != self.upper.shape or not len(self.lower):
            shapes = f"{list(self.lower.shape)} and {list(self.upper.shape)}"
            raise UserError(f"the bounds of a box are two vectors of one size, not of shapes {shapes}")
        for side, bound in (("lower", self.lower), ("upper", self.upper)):
            if not bound.isfinite().all():
                i = int((~bound.isfinite()).nonzero()[0])
                raise UserError(f"the {side} bound {float(bound[i])} of input {i} is not finite")
        if (self.lower > self.upper).any():
            i = int((self.lower > self.upper).nonzero()[0])
            bounds = f"{float(self.lower[i])!r} of input {i} is above its upper bound {float(self.upper[i])!r}"
            raise UserError(f"the lower bound {bounds}")

    @property
    def size(self) -> int:
        """Number of dimensions n."""
        return len(self.lower)

    @property
    def center(self) -> Tensor:
        """Its middle, float64 [n]; halves are added, so that no sum overflows."""
        return (self.lower / 2 + self.upper / 2).clamp(self.lower, self.upper)

    def contains(self, x: Tensor) -> Tensor:
        """Which of the points x [..., n] lie in it, bool [...]."""
        x = x.to(torch.float64)
        return ((self.lower <= x) & (x <= self.upper)).all(-1)

    def numbers(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The least and the greatest number of a dtype that lies in each dimension, float64 [n] each.

        Where there is none, as between two neighbors in float32, both are the middle.
        """
        least, greatest = self.lower.to(dtype), self.upper.to(dtype)
        up, down = torch.full_like(least, torch.inf), torch.full_like(greatest, -torch.inf)
        least = torch.where(least.to(torch.float64) < self.lower, least.nextafter(up), least).to(torch.float64)
        greatest = torch.where(greatest.to(torch.float64) > self.upper, greatest.nextafter(down), greatest).to(
            torch.float64
        )
        empty = least > greatest
        return torch.where(empty, self.center, least), torch.where(empty, self.center, greatest)


@dataclass(frozen=True, eq=False)
class Halfspaces:
    """All y with ``weights @ y + offset <= 0`` in every row; without rows, all y.

    Attributes:
        weights: float64 [k, m], finite.
        offset: float64 [k], finite.

    Raises:
        UserError: The shapes do not fit, or a number is not finite.
    """

    weights: Tensor
    offset: Tensor

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", torch.as_tensor(self.weights, dtype=torch.float64))
        object.__setattr__(self, "offset", torch.as_tensor(self.offset, dtype=torch.float64))
        if self.weights.dim() != 2 or self.offset.shape != self.weights.shape[:1] or not self.weights.shape[1]:
            shapes = f"{list(self.weights.shape)} and {list(self.offset.shape)}"
            raise UserError(f"half-spaces are weights [k, m] and an offset [k], not of shapes {shapes}")
        if not (self.weights.isfinite().all() and self.offset.isfinite().all()):
            raise UserError("a half-space has a number that is not finite")

    @property
    def size(self) -> int:
        """Number of outputs m."""
        return self.weights.shape[1]

    def rows(self, y: Tensor) -> Tensor:
        """``weights @ y + offset`` of outputs y [..., m], float64 [..., k]."""
        return y.to(torch.float64) @ self.weights.T + self.offset

    def margin(self, y: Tensor) -> Tensor:
        """How far outputs y [..., m] are from the set: its worst row, float64 [...].

        The set is where it is not positive; without rows it is minus infinity.
        """
        rows = self.rows(y)
        return rows.amax(-1) if len(self.offset) else rows.new_full(rows.shape[:-1], -torch.inf)


@dataclass(frozen=True, eq=False)
class Case:
    """A box of inputs, and outputs that none of its inputs may have.

    Attributes:
        box: Of n inputs.
        unsafe: A disjunction: an output in any of them violates the case.

    Raises:
        UserError: There is no set of outputs, or they are of different sizes.
    """

    box: Box
    unsafe: tuple[Halfspaces, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "unsafe", tuple(self.unsafe))
        if not self.unsafe:
            raise UserError("a case names no outputs, so that nothing can violate it")
        _same_sizes("outputs", [one.size for one in self.unsafe])

    def margin(self, y: Tensor) -> Tensor:
        """How far outputs y [..., m] are from violating the case, float64 [...]; not positive where they do."""
        return torch.stack([one.margin(y) for one in self.unsafe]).amin(0)

    def violated(self, x: Tensor, y: Tensor) -> Tensor:
        """Whether inputs x [..., n] with their outputs y [..., m] are counterexamples, bool [...]."""
        return self.box.contains(x) & (self.margin(y) <= 0)


@dataclass(frozen=True, eq=False)
class Property:
    """A disjunction of cases: it is violated if one of them is, and holds if all of them do.

    Attributes:
        cases: At least one.

    Raises:
        UserError: There is none, or they are of different sizes.
    """

    cases: tuple[Case, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "cases", tuple(self.cases))
        if not self.cases:
            raise UserError("a property has no case")
        _same_sizes("inputs", [case.box.size for case in self.cases])
        _same_sizes("outputs", [case.unsafe[0].size for case in self.cases])

    @property
    def num_inputs(self) -> int:
        """Number of inputs n."""
        return self.cases[0].box.size

    @property
    def num_outputs(self) -> int:
        """Number of outputs m."""
        return self.cases[0].unsafe[0].size


def _same_sizes(what: str, sizes: Sequence[int]) -> None:
    if len(set(sizes)) > 1:
        raise UserError(f"the numbers of {what} differ: {', '.join(map(str, sorted(set(sizes))))}")

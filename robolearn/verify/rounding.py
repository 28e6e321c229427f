"""How far floating-point arithmetic can be from the real numbers, so that bounds computed with it are proofs.

A sum of n products, in any order and with or without fused operations, differs from the exact one by at most
gamma_n sum |a_i b_i|, with gamma_n = n u / (1 - n u) and u the unit roundoff (Higham 2002, section 3.1).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Precision = Literal["exact", "float32"]
"""What a claim is about: the network in real numbers, or as float32 arithmetic evaluates it, in any order of sums."""

DOUBLE, SINGLE = 2.0**-53, 2.0**-24  # unit roundoffs
TINY = 1e-30  # absorbs underflow, which a relative error does not cover: each operation of float32 may lose 2^-126
SPARE = 64  # operations more than are counted, for the few that a step does beside its sums
ULPS = 8  # an elementary function of a library is at most so many units in the last place from the true one


def gamma(count: int, unit: float = DOUBLE) -> float:
    """The relative error of a sum of so many products.

    assert 0 < gamma(100) < 1e-13
    """
    assert count * unit < 0.5, "sums of so many products have no bound on their error in this precision"
    return count * unit / (1 - count * unit)


def widened(lower: Tensor, upper: Tensor, error: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
    """Bounds moved apart by an error, and by what rounds in moving them."""
    return down(lower - error), up(upper + error)


def down(x: Tensor) -> Tensor:
    """A number below x by a few units in its last place."""
    return x - (4 * DOUBLE * x.abs() + TINY)


def up(x: Tensor) -> Tensor:
    """A number above x by a few units in its last place."""
    return x + (4 * DOUBLE * x.abs() + TINY)


def center_radius(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Center and radius of a box; center +- radius contains it, rounding included."""
    center = lower + (upper - lower) / 2
    radius = torch.maximum(upper - center, center - lower)
    return center, up(radius)

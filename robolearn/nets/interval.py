"""Intervals through layers, differentiable: how far a network's output can move when its input is off a little.

These are for training (Gowal et al. 2018, section 3); in float32 and without rounding they prove nothing. Proofs are in
``robolearn/verify``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

SILU_LEAST = -1.2784645  # where silu has its least value


@dataclass(frozen=True)
class Interval:
    """All numbers within a radius of a center.

    Attributes:
        center: [...].
        radius: [...], not negative.
    """

    center: Tensor
    radius: Tensor

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.center + other.center, self.radius + other.radius)

    def moved(self, by: Tensor) -> Interval:
        """Each number moved by a known one."""
        return Interval(self.center + by, self.radius)

    def linear(self, layer: nn.Linear) -> Interval:
        """Through a layer: the radius through the magnitudes of its weights."""
        return Interval(layer(self.center), nn.functional.linear(self.radius, layer.weight.abs()))

    def activated(self, activation: nn.Module) -> Interval:
        """Through relu, tanh or silu: between the values at both ends, and of silu its least value between them."""
        ends = self.center - self.radius, self.center + self.radius
        values = activation(ends[0]), activation(ends[1])
        low, high = torch.minimum(*values), torch.maximum(*values)
        if isinstance(activation, nn.SiLU):
            least = activation(self.center.new_tensor(SILU_LEAST))
            low = torch.where((ends[0] < SILU_LEAST) & (ends[1] > SILU_LEAST), least, low)
        return Interval((low + high) / 2, (high - low) / 2)

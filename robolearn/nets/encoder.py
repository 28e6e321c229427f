"""Observation encoder: named observations to condition tokens."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class StateEncoder(nn.Module):
    """Concatenate low-dimensional observations: key -> [b, o, *shape] becomes [b, o, c].

    Args:
        shapes: Key -> shape of one observation.

    Raises:
        ValueError: An observation is an image (three axes).
    """

    def __init__(self, shapes: dict[str, tuple[int, ...]]):
        super().__init__()
        for key, shape in shapes.items():
            if len(shape) >= 3:
                low = [k for k, s in shapes.items() if len(s) < 3]
                raise ValueError(
                    f"observation {key!r} is an image {shape}; the state encoder takes low-dimensional keys: {low}"
                )
        self.keys = tuple(shapes)
        self.cond_dim = sum(int(torch.Size(s).numel()) for s in shapes.values())

    def forward(self, obs: dict[str, Tensor]) -> Float[Tensor, "b o c"]:
        """Encode normalised observations."""
        return torch.cat([obs[key].flatten(2) for key in self.keys], dim=2)

"""What a policy is asked about: observations of the shapes that it was trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from robolearn.errors import UserError
from robolearn.policies.promises import kind_of
from robolearn.types import is_image


def checked_observations(
    obs: Mapping[str, Tensor], horizon: int, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Tensor]:
    """Observations once they are those that a policy takes; of double precision, as simulators give them, in single.

    Args:
        obs: Key -> [b, o, ...]; unknown keys are left out.
        horizon: Observations in a row, o.
        shapes: Key -> shape of one observation.

    Raises:
        UserError: A key is missing, or what is there is no tensor of the expected shape.
    """
    kept: dict[str, Tensor] = {}
    for key, shape in shapes.items():
        if key not in obs:
            raise UserError(f"observation {key!r} is missing; the policy sees {', '.join(shapes)}")
        value = obs[key]
        if not isinstance(value, Tensor) or not _fits(value.shape[1:], (horizon, *shape)):
            sizes = ", ".join(map(str, (horizon, *shape)))
            raise UserError(f"observation {key!r} is {kind_of(value)}; the policy takes a tensor [b, {sizes}]")
        kept[key] = value.float() if value.dtype == torch.float64 else value
    return kept


def _fits(shape: torch.Size, expected: tuple[int, ...]) -> bool:
    """Whether so many numbers were observed so many times; images may have been cropped or resized."""
    if is_image(expected[1:]):
        return (*shape[:1], *shape[3:]) == (*expected[:1], *expected[3:])
    return shape[:1] == expected[:1] and shape[1:].numel() == math.prod(expected[1:])

"""Affine normalization per key and dimension, with an exact inverse, saved inside the policy's state_dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from robolearn.data.keys import key_problem, module_name
from robolearn.errors import UserError
from robolearn.types import is_image

RELATIVE_RANGE = 1e-4
ABSOLUTE_RANGE = 1e-6

RARE = 0.01  # share of the rows that lie beyond -1, and beyond 1, with quantile

Mode = Literal["minmax", "zscore", "quantile"]


class Normalizer(nn.Module):
    """y = (x - center) / scale per key; "action" is one key beside the observations.

        minmax   center = (max + min) / 2,  scale = (max - min) / 2     fitted data lie in [-1, 1]
        zscore   center = mean,             scale = standard deviation
        quantile as minmax, but with the 1 % and 99 % quantiles for min and max: a few values far away take no range

    Near-constant rule: a dimension whose range (max - min) is below 1e-4 of its largest magnitude, or below
    1e-6 in its own unit, carries rounding but no information. It is only shifted by its center, with scale 1:
    a test value a little off the constant stays a little off instead of being blown up.

    A key may have any shape per step; the statistics are kept for each of its dimensions. Images are left out:
    the networks know their range. An un-fitted normalizer is the identity.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Make the identity for keys of the given shapes per step, to load a state_dict into; see `fit`.

        Raises:
            UserError: A key is no name.
        """
        super().__init__()
        for problem in filter(None, map(key_problem, shapes)):
            raise UserError(f"normalizer: {problem}")
        self.keys = tuple(key for key, shape in shapes.items() if not is_image(shape))
        for key in self.keys:
            center, scale = buffer_names(key)
            self.register_buffer(center, torch.zeros(shapes[key]))
            self.register_buffer(scale, torch.ones(shapes[key]))

    @classmethod
    def fit(cls, arrays: Mapping[str, np.ndarray | Tensor], mode: Mode | Mapping[str, Mode] = "minmax") -> Normalizer:
        """Fit on the rows [time, ...] of each key; pass the training episodes only.

        Args:
            arrays: Key -> rows.
            mode: One for all keys, or one per key.

        Raises:
            UserError: An unknown mode, a key without rows, or one with NaN or infinity.
        """
        modes: Mapping[str, Mode] = dict.fromkeys(arrays, mode) if isinstance(mode, str) else mode
        unknown = [m for m in modes.values() if m not in get_args(Mode)]
        if unknown:
            raise UserError(f"normalizer mode '{unknown[0]}': choose {', '.join(get_args(Mode))}")
        result = cls({key: tuple(rows.shape[1:]) for key, rows in arrays.items()})
        for key in result.keys:
            rows = arrays[key]
            if len(rows) == 0:
                raise UserError(f"normalizer key '{key}': no rows to fit")
            center, scale = _statistics(torch.as_tensor(rows), modes[key])
            if not (torch.isfinite(center).all() and torch.isfinite(scale).all()):
                raise UserError(f"normalizer key '{key}': the rows hold NaN or infinity")
            for name, value in zip(buffer_names(key), (center, scale), strict=True):
                result.get_buffer(name).copy_(value)
        return result

    def problem(self) -> str | None:
        """Say which statistics, as read from a file, are none; None if all can be."""
        for key in self.keys:
            if not bool((self._affine(key)[1] > 0).all()):
                return f"{key}_scale must be above 0"
        return None

    def normalize(self, key: str, x: Tensor) -> Tensor:
        """Map physical units to normalized ones; `x` is [..., *shape of the key]."""
        center, scale = self._affine(key)
        return (x - center) / scale

    def unnormalize(self, key: str, x: Tensor) -> Tensor:
        """Map normalized units back to physical ones."""
        center, scale = self._affine(key)
        return x * scale + center

    def _affine(self, key: str) -> tuple[Tensor, Tensor]:
        if key not in self.keys:
            raise UserError(f"normalizer: no key '{key}' (there are: {', '.join(self.keys)})")
        center, scale = buffer_names(key)
        return self.get_buffer(center), self.get_buffer(scale)


def buffer_names(key: str) -> tuple[str, str]:
    """What the center and the scale of a key are called in a normalizer's state_dict."""
    return f"{module_name(key)}_centre", f"{module_name(key)}_scale"


def _statistics(rows: Tensor, mode: Mode) -> tuple[Tensor, Tensor]:
    """Center and scale of each dimension, in float64."""
    rows = rows.double().cpu()
    low, high = rows.amin(0), rows.amax(0)
    if mode == "quantile":
        usual = torch.from_numpy(np.quantile(rows.numpy(), [RARE, 1 - RARE], axis=0))
        # A flag that is rarely up has no range but its whole one.
        varies = usual[1] - usual[0] >= torch.as_tensor(least_range(*usual.numpy()))
        low, high = torch.where(varies, usual[0], low), torch.where(varies, usual[1], high)
    if mode == "zscore":
        center, scale = rows.mean(0), rows.std(0, correction=0)
    else:
        center, scale = (high + low) / 2, (high - low) / 2
    is_rounding = high - low < torch.as_tensor(least_range(low.numpy(), high.numpy()))
    return center, torch.where(is_rounding, torch.ones_like(scale), scale)


def least_range(low: float | np.ndarray, high: float | np.ndarray) -> float | np.ndarray:
    """What less than which between numbers is rounding, in float64."""
    return np.maximum(RELATIVE_RANGE * np.maximum(np.abs(low), np.abs(high)), ABSOLUTE_RANGE)

"""Images on their way into a store: which cameras are wanted, and how large."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from robolearn.errors import UserError
from robolearn.types import Array

SUFFIXES = ("_image", "_rgb", "_img")  # with which robomimic and others end the names of cameras


def choose_cameras(keys: Sequence[str], wanted: Sequence[str] | None, source: Path) -> tuple[str, ...]:
    """The keys of the cameras that are wanted, in their own order.

    Args:
        keys: All cameras, as the store will name them: images.top, agentview_image.
        wanted: Those keys, or shorter names for them: top, agentview. None for all.
        source: For the message.

    Raises:
        UserError: One is wanted that is not there, or whose short name two have.
    """
    if wanted is None:
        return tuple(keys)
    found = {name: [key for key in keys if name in _names(key)] for name in wanted}
    for name, matches in found.items():
        exact = [key for key in matches if key == name]
        if len(exact or matches) != 1:
            what = "could be several" if matches else "is not there"
            raise UserError(f"{source}: camera {name} {what}; `cameras` may name {', '.join(keys) or 'none'}")
    chosen = {name if name in keys else matches[0] for name, matches in found.items()}
    return tuple(key for key in keys if key in chosen)


def _names(key: str) -> set[str]:
    last = key.rsplit(".", 1)[-1]
    return {key, last, *(last.removesuffix(end) for end in SUFFIXES), *(key.removesuffix(end) for end in SUFFIXES)}


def resize(images: Array, size: tuple[int, int] | None) -> Array:
    """Scale images; those of that size already are returned as they are.

    Args:
        images: [time, h, w, c]; bytes are averaged, what is larger or a float, as depth is, takes the nearest pixel:
            between two surfaces there is none.
        size: Height and width [pixels]; None to leave them.

    Returns:
        [time, *size, c] of the same type.
    """
    if size is None or images.shape[1:3] == tuple(size) or not len(images):
        return images
    if images.dtype == np.uint8:
        pixels = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2)  # a copy: torch wants memory that it may write
        scaled = torch.nn.functional.interpolate(pixels, size, mode="bilinear", antialias=True)
        return np.ascontiguousarray(scaled.permute(0, 2, 3, 1).numpy())
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size, images.shape[1:3], strict=True)
    )
    return images[:, rows[:, None], columns]

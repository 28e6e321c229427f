"""Images on their way into a store: of the size that is wanted."""

from __future__ import annotations

import numpy as np
import torch

from robolearn.types import Array


def resize(images: Array, size: tuple[int, int] | None) -> Array:
    """Scale images; those of that size already are returned as they are.

    Args:
        images: [time, h, w, c]; colors are averaged. What has one channel and is not of bytes is taken for depth: it
            takes the nearest pixel, since between two surfaces there is none.
        size: Height and width [pixels]; None to leave them.

    Returns:
        [time, *size, c] of the same type.
    """
    if size is None or images.shape[1:3] == tuple(size) or not len(images):
        return images
    if images.dtype in (np.uint8, np.float32, np.float64) and (images.dtype == np.uint8 or images.shape[-1] > 1):
        pixels = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2)  # a copy: torch wants memory that it may write
        scaled = torch.nn.functional.interpolate(pixels, size, mode="bilinear", antialias=True)
        return np.ascontiguousarray(scaled.permute(0, 2, 3, 1).numpy())
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size, images.shape[1:3], strict=True)
    )
    return images[:, rows[:, None], columns]

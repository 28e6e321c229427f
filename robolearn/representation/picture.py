"""A picture of what the networks of cameras have learned: held-out frames, and what became of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure
from torch import Tensor

from robolearn.errors import warned
from robolearn.files import replacing

PICTURE = "frames.png"
SIDE, LABEL, HEAD, GAP = 1.3, 1.25, 0.35, 0.05  # [inch] of an image, of the names before a row and above a camera
DPI = 110


Shown = Mapping[str, Mapping[str, Tensor]]
"""Camera -> name of a row -> images uint8 [n, h, w, c], 0 .. 255."""


def illustrate(path: Path, look: Callable[[], Shown]) -> None:
    """Draw what `look` gives beside what was learned, which does not depend on it: what goes wrong is a warning."""
    with warned(f"{path.name} is left out: drawing it"):
        draw_picture(path, look())


def draw_picture(path: Path, shown: Shown) -> None:
    """Draw a block for each camera, in it a row for each kind of image and a column for each frame.

    Args:
        path: A .png file.
        shown: What is seen.

    Raises:
        OSError: The disk refuses; no half of a file is left.
    """
    blocks = {camera: {name: as_rgb(images) for name, images in rows.items()} for camera, rows in shown.items()}
    heights = {camera: row_height(next(iter(rows.values()))) for camera, rows in blocks.items()}
    count = max(len(images) for rows in blocks.values() for images in rows.values())
    width = LABEL + count * SIDE + GAP
    height = sum(HEAD + len(rows) * heights[camera] for camera, rows in blocks.items()) + GAP
    figure, top = Figure((width, height), DPI), height
    for camera, rows in blocks.items():
        top -= HEAD
        figure.text(GAP / width, (top + HEAD / 4) / height, camera, fontsize=10, weight="bold", parse_math=False)
        for name, images in rows.items():
            top -= heights[camera]
            middle = (top + heights[camera] / 2) / height
            figure.text(GAP / width, middle, name, fontsize=9, va="center", parse_math=False)
            for column, image in enumerate(images):
                box = (LABEL + column * SIDE, top + GAP, SIDE - GAP, heights[camera] - GAP)
                axes = figure.add_axes((box[0] / width, box[1] / height, box[2] / width, box[3] / height))
                axes.imshow(image)
                axes.set_axis_off()
    with replacing(path) as part:
        figure.savefig(part, format="png")


def row_height(images: UInt8[np.ndarray, "n h w 3"]) -> float:
    """Height [inch] of a row of images with the width of a column."""
    return GAP + (SIDE - GAP) * images.shape[1] / images.shape[2]


def as_rgb(images: UInt8[Tensor, "n h w c"]) -> UInt8[np.ndarray, "n h w 3"]:
    """Images in color, whatever their channels; a fourth one is left out."""
    array = images.cpu().numpy()
    return np.repeat(array, 3, axis=3) if array.shape[3] == 1 else array[..., :3]

"""How rows of another project become those of a store: images told from numbers, packed ones unpacked."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from robolearn.errors import UserError
from robolearn.formats.columns import Column
from robolearn.formats.images import resize
from robolearn.images import MIN_PICTURE, Axes, axes_of
from robolearn.types import Array

HEADS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")  # of JPEG and PNG
WORDS = ("image", "img", "rgb", "depth", "cam", "pixels")  # in the names of what is meant as an image
BLOCK_BYTES = 32 << 20  # of rows that are converted at once
MAX_PIXELS = 1 << 26
MODES = ("L", "RGB", "RGBA", "I;16")


@dataclass(frozen=True)
class Kind:
    """How a column is read.

    Attributes:
        step: Shape of one row in the source; () of what is packed.
        shape: In the store; of images before they are scaled.
        dtype: In the store.
        packed: Whether rows are bytes of JPEG or PNG.
        axes: Order of the axes of an image; None for what is none.
    """

    step: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: np.dtype
    packed: bool = False
    axes: Axes | None = None

    def fits(self, column: Column) -> bool:
        """Whether another episode's rows are of this kind."""
        if self.packed:
            return _may_be_packed(column)
        return column.dtype.kind in "biuf" and column.shape[1:] == self.step

    def read(self, column: Column, steps: int, size: tuple[int, int] | None, where: str) -> Array:
        """The first rows of a column.

        Args:
            column: Fits.
            steps: How many rows.
            size: That images are scaled to; None for their own.
            where: For messages.

        Returns:
            [steps, ...], images in the order of their axes.

        Raises:
            UserError: A packed image is damaged or has another shape than the first one.
        """
        if self.axes is None or (size is None and not self.packed):
            return column[0:steps].astype(self.dtype, copy=False).reshape(steps, *self.shape)
        block = max(1, BLOCK_BYTES // max(1, math.prod(self.shape) * self.dtype.itemsize))
        frames: Array | None = None
        for start in range(0, steps, block):
            part = self._scaled(self._frames(column[start : min(start + block, steps)], start, where), size)
            if frames is None:
                frames = np.empty((steps, *part.shape[1:]), self.dtype)
            frames[start : start + block] = part
        assert frames is not None, "an episode has steps"
        return frames

    def _scaled(self, frames: Array, size: tuple[int, int] | None) -> Array:
        if self.axes == "chw":
            return np.moveaxis(resize(np.moveaxis(frames, 1, -1), size), -1, 1)
        return resize(frames[..., None], size)[..., 0] if self.axes == "hw" else resize(frames, size)

    def _frames(self, rows: Array, start: int, where: str) -> Array:
        if not self.packed:
            return rows.astype(self.dtype, copy=False).reshape(len(rows), *self.shape)
        frames = [unpack(packed_bytes(row), f"{where}, step {i}") for i, row in enumerate(rows, start)]
        for i, frame in enumerate(frames, start):
            if frame.shape != self.shape:
                raise UserError(f"{where}, step {i}: an image of shape {frame.shape}, the first one has {self.shape}")
        return np.stack(frames)


def kind_of(key: str, column: Column, where: str) -> Kind | None:
    """How a column is read, told by its first episode; None where it has no rows, or they are no numbers.

    Raises:
        UserError: Its first image is damaged.
    """
    if not column.shape:
        return None
    if column.shape[0] and _may_be_packed(column):
        first = packed_bytes(column[0:1][0])
        if first.startswith(HEADS):
            image = unpack(first, where)
            return Kind((), image.shape, image.dtype, packed=True, axes="hwc")
    step, dtype = tuple(column.shape[1:]), column.dtype
    if dtype.kind not in "biuf" or dtype.itemsize > 8 or 0 in step:
        return None
    named = any(word in key.lower() for word in WORDS)
    if named and len(step) == 2 and min(step) >= MIN_PICTURE:  # smaller than what is taken for gray without a name
        return Kind(step, (*step, 1), dtype, axes="hwc")
    axes = axes_of(step)
    if len(step) == 3 and axes is not None and dtype != np.uint8 and min(step) < MIN_PICTURE > sorted(step)[1]:
        axes = None  # rotation matrices, say
    flat = len(step) != 1 and (axes is None and (len(step) != 2))
    return Kind(step, (math.prod(step),) if flat else step, dtype, axes=axes)


def _may_be_packed(column: Column) -> bool:
    """Whether rows may be bytes of files: of any length, or padded to that of the longest."""
    rows = len(column.shape)
    return (column.dtype.kind in "OS" and rows == 1) or (column.dtype in (np.uint8, np.int8) and rows == 2)


def packed_bytes(row: object) -> bytes:
    """The bytes of one packed image, padding included, which its decoder leaves alone."""
    if isinstance(row, np.ndarray):
        return row.tobytes() if row.dtype.itemsize == 1 else b""
    return bytes(row) if isinstance(row, bytes) else b""


def unpack(content: bytes, where: str) -> Array:
    """Decode a JPEG or PNG to [h, w, c], uint8, its colors as any viewer shows them.

    Raises:
        UserError: It is none, damaged, or far larger than a camera's.
    """
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as image:
            if math.prod(image.size) > MAX_PIXELS:
                raise UserError(f"{where}: an image of {image.size[0]} x {image.size[1]} pixels; at most {MAX_PIXELS}")
            if image.mode not in MODES:
                raise UserError(f"{where}: an image of mode {image.mode}; read are {', '.join(MODES)}")
            array = np.asarray(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{where}: a damaged image ({' '.join(str(error).split())})") from error
    return array if array.ndim == 3 else array[:, :, None]

"""How rows of another project become those of a store: images told from numbers, packed ones unpacked."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from robolearn.data.checks import MIN_PICTURE, MIN_SIDE
from robolearn.errors import UserError
from robolearn.formats.columns import Column
from robolearn.formats.images import resize
from robolearn.images import CHANNELS, ImageLayout
from robolearn.types import Array, is_image

HEADS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")  # of JPEG and PNG
WORDS = ("image", "img", "rgb", "depth", "cam", "pixels")  # in the names of what is meant as an image
BLOCK_BYTES = 32 << 20  # of rows that are converted at once
MAX_PIXELS = 1 << 26
MODES = ("L", "RGB", "RGBA", "I;16")
GRAY_SIDE = 32  # pixels of a matrix of bytes that is taken for a gray image whatever its name


@dataclass(frozen=True)
class Kind:
    """How a column is read.

    Attributes:
        step: Shape of one row in the source; () of what is packed.
        shape: In the store, [d] or [h, w, c]; of images before they are scaled.
        dtype: In the store.
        packed: Whether rows are bytes of JPEG or PNG.
        picture: Whether it is an image: one of a camera, or of depth.
        first: Whether the channels of an image come first in the source.
        white: What is white in an image that is to become bytes, 1 or 255; None where nothing is to be done.
    """

    step: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: np.dtype
    packed: bool = False
    picture: bool = False
    first: bool = False
    white: int | None = None

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
            [steps, ...].

        Raises:
            UserError: An image is damaged, has another size than the first one or is outside its range.
        """
        if not self.picture:
            return column[0:steps].astype(self.dtype, copy=False).reshape(steps, *self.shape)
        block = max(1, BLOCK_BYTES // max(1, math.prod(self.shape) * self.dtype.itemsize))
        target = (steps, *(size or self.shape[:2]), self.shape[2])
        frames = np.empty(target, self.dtype)
        for start in range(0, steps, block):
            stop = min(start + block, steps)
            frames[start:stop] = resize(self._frames(column[start:stop], f"{where}, from step {start}"), size)
        return frames

    def _frames(self, rows: Array, where: str) -> Array:
        if self.packed:
            frames = [unpack(packed_bytes(row), where) for row in rows]
            other = next((frame.shape for frame in frames if frame.shape != self.shape), None)
            if other is not None:
                raise UserError(f"{where}: an image of shape {other}, the first one has {self.shape}")
            return np.stack(frames)
        rows = rows.reshape(len(rows), *self.step, *(() if len(self.step) == 3 else (1,)))
        if self.first:
            rows = np.moveaxis(rows, 1, -1)
        if self.white is None:
            return rows.astype(self.dtype, copy=False)
        try:
            return ImageLayout(largest=self.white).convert(rows)
        except ValueError as error:
            raise UserError(f"{where}: {error}, which the first episode is in") from error


def kind_of(key: str, column: Column, where: str) -> Kind | None:
    """How a column is read, told by its first episode; None where its rows are no numbers.

    Raises:
        UserError: Its first image is damaged.
    """
    if column.shape[0] and _may_be_packed(column):
        first = packed_bytes(column[0:1][0])
        if first.startswith(HEADS):
            image = unpack(first, where)
            return Kind((), image.shape, image.dtype, packed=True, picture=True)
    step, dtype = tuple(column.shape[1:]), column.dtype
    if dtype.kind not in "biuf" or dtype.itemsize > 8 or 0 in step:
        return None
    picture = _picture(key, step, dtype)
    if picture is None:
        flat = is_image(step) or (len(step) == 3 and step[0] in CHANNELS)  # would be taken for one
        shape = step if step and not flat else (math.prod(step),)
        return Kind(step, shape, dtype)
    first = not is_image(picture)
    shape = (*picture[1:], picture[0]) if first else picture
    if dtype in (np.uint8, np.bool_) or shape[2] == 1:  # depth and masks stay as they are
        return Kind(step, shape, dtype, picture=True, first=first)
    low, high = _range(column)
    if not 0 <= low <= high <= 255:  # rotation matrices, say; NaN is refused with its place
        return Kind(step, (math.prod(step),), dtype)
    white = 1 if dtype.kind == "f" and high <= 1 else 255
    return Kind(step, shape, np.dtype(np.uint8), picture=True, first=first, white=white)


def _picture(key: str, step: tuple[int, ...], dtype: np.dtype) -> tuple[int, ...] | None:
    """Shape with an axis of channels if rows of this shape are images, as `checks.image_problem` tells them."""
    if len(step) == 3:
        first = not is_image(step) and step[0] in CHANNELS and min(step[1:]) >= MIN_PICTURE
        return step if first or (is_image(step) and min(step[:2]) >= MIN_SIDE) else None
    named = any(word in key.lower() for word in WORDS)
    gray = len(step) == 2 and ((min(step) >= GRAY_SIDE and dtype == np.uint8) or (named and min(step) >= MIN_PICTURE))
    return (*step, 1) if gray else None


def _range(column: Column) -> tuple[float, float]:
    """Smallest and largest number; NaN where there is one."""
    block = max(1, BLOCK_BYTES // max(1, math.prod(column.shape[1:]) * column.dtype.itemsize))
    ends = [(rows.min(), rows.max()) for rows in _blocks(column, block)]
    return float(min(low for low, _ in ends)), float(max(high for _, high in ends))


def _blocks(column: Column, block: int) -> Iterable[Array]:
    for start in range(0, column.shape[0], block):
        yield column[start : min(start + block, column.shape[0])]


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

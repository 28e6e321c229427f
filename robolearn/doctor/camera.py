"""What is remembered of a camera's images: how they were recorded, how bright each is, and a few of them."""

from __future__ import annotations

import zlib

import numpy as np

from robolearn.images import ImageLayout, ImageRange, axes_of, seen_shape
from robolearn.types import Array

MAX_SHOWN = 24  # images that are kept to be drawn


class Camera:
    """Images of one key, looked at slab by slab, as they were recorded.

    Args:
        shape: Of one image.
        dtype: Of its numbers.
        count: Images.

    Attributes:
        low: Smallest number [time] of each image; NaN of those not looked at.
        high: Largest.
        mean: Their mean, how bright each image is [time].
        prints: A checksum of each image [time].
        same: Whether each image equals the one before [time].
        shown: A few images, as recorded.
        rows: Of those.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype, count: int) -> None:
        seen = seen_shape(shape)
        assert seen is not None, "no shape of an image"
        self.shape, self.dtype, self.seen = shape, dtype, seen
        self.low, self.high = np.full(count, np.nan), np.full(count, np.nan)
        self.mean, self.prints = np.full(count, np.nan), np.zeros(count, np.uint32)
        self.same = np.zeros(count, bool)
        self.rows = [int(row) for row in np.unique(np.linspace(0, max(count - 1, 0), MAX_SHOWN).astype(int))]
        self.shown: list[Array] = []
        self._range = ImageRange(seen[2], count * int(np.prod(seen)))
        self._last: Array | None = None

    def add(self, images: Array, first: int) -> None:
        """Look at finite images [n, *shape], the first of which is that of row `first`."""
        if len(images) == 0:
            return
        flat = images.reshape(len(images), -1)
        rows = slice(first, first + len(images))
        self.low[rows], self.high[rows] = flat.min(1), flat.max(1)
        self.mean[rows] = flat.mean(1, dtype=np.float64)
        self.prints[rows] = [zlib.crc32(np.ascontiguousarray(image).data) for image in flat]
        before = flat[:1] if self._last is None else self._last
        self.same[first] = self._last is not None and bool((flat[0] == before[0]).all())
        self.same[first + 1 : rows.stop] = [np.array_equal(a, b) for a, b in zip(flat[1:], flat[:-1], strict=True)]
        self._last = flat[-1:].copy()
        self.shown += [images[row - first].copy() for row in self.rows if rows.start <= row < rows.stop]
        self._range.add(images)

    @property
    def is_whole(self) -> bool:
        """Whether all numbers are whole."""
        return self._range.is_whole

    @property
    def layout(self) -> ImageLayout | None:
        """How the images were recorded; None where their colors are none."""
        axes = axes_of(self.shape)
        assert axes is not None, "checked above"
        return self._range.layout(axes)

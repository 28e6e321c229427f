"""What cameras record as what networks see: uint8 [h, w, c], whatever the axes, the type and the range were.

    recorded                                        seen
    uint8 [h, w, 1, 3 or 4]                         the same
    [1, 3 or 4, h, w], [h, w]                       channels last
    floats in [0, 1] or [-1, 1], whole 0 .. 65535   0 .. 255
    depth: one channel of any other range           0 .. 255 from the nearest to the farthest distance that is usual

The layout of demonstrations is measured once and kept with the policy, so that an observation of a robot becomes what
an equal one of the demonstrations became. That of an environment is what its spaces declare.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from robolearn.errors import UserError

Array = np.ndarray
Shape = tuple[int, ...]
Axes = Literal["hwc", "chw", "hw"]

CHANNELS = (1, 3, 4)
ACCEPTED = "0 .. 255, or 0 .. 1 as floats"
MIN_SIDE = 2  # [pixels] of an image
MIN_PICTURE = 8  # of what is surely meant as one where its channels come first
MIN_PLAIN = 32  # ... and where it has no axis of channels: tables of numbers are smaller
UNIT, SIGNED, BYTES, WORDS = (0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (0.0, 65535.0)  # that colors are recorded in
SLACK = 0.05  # of a range, by which filters overshoot it; in bytes 1, as images may be standardized to -2 .. 3
SAMPLE, USUAL = 1 << 22, 0.001  # pixels that usual distances are found from; share of the unusual at each end


@dataclass(frozen=True)
class ImageLayout:
    """How an image lies in an array, and how it becomes uint8 [..., h, w, c].

    Raises:
        UserError: The range is empty or not finite.
    """

    axes: Axes = "hwc"
    """Order of the last axes."""
    low: float = 0.0
    """Number that becomes 0."""
    high: float = 255.0
    """Number that becomes 255."""
    is_depth: bool = False
    """Whether numbers beyond the range are as near or as far as can be seen; otherwise they are none of an image."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise UserError(
                f"images from {self.low:g} to {self.high:g}: expected finite numbers, the first the smaller"
            )

    @classmethod
    def recognize(
        cls, shape: Shape, dtype: np.dtype, low: float, high: float, wanted: Shape | None = None
    ) -> ImageLayout:
        """Find the layout of an image whose range is declared.

        Args:
            shape: [h, w, c] or [c, h, w].
            dtype: Of its numbers.
            low: The smallest number that may occur; -inf where that is not known.
            high: The largest; inf where that is not known.
            wanted: The shape [h, w, c] that it is to have; None where the number of channels has to tell.

        Raises:
            ValueError: Shape or range do not tell, or are those of no image; one line says why.
        """
        return cls("chw" if _channels_first(shape, wanted) else "hwc", 0.0, _largest(dtype, low, high))

    @property
    def is_plain(self) -> bool:
        """Whether nothing is to be done for an array of bytes."""
        return self == ImageLayout()

    def shape(self, seen: Shape) -> Shape:
        """Shape as recorded of an image that is seen as [h, w, c]."""
        height, width, channels = seen
        return {"hwc": (height, width, channels), "chw": (channels, height, width), "hw": (height, width)}[self.axes]

    def convert(self, array: Array) -> Array:
        """Bring images [..., *axes] to uint8 [..., h, w, c].

        Raises:
            ValueError: A number lies outside the range, or is none.
        """
        if self.axes == "chw":
            array = np.moveaxis(array, -3, -1)
        elif self.axes == "hw":
            array = array[..., None]
        if array.dtype == np.uint8 and (self.low, self.high) == BYTES:
            return array
        self._check(array)
        # In float64 only where float32 would lose a whole number.
        scaled = np.clip(array.astype(np.float64 if array.dtype.itemsize > 4 else np.float32), self.low, self.high)
        scaled -= self.low
        scaled *= 255 / (self.high - self.low)
        return np.rint(scaled, out=scaled).astype(np.uint8)

    def _check(self, array: Array) -> None:
        if array.size == 0:
            return
        low, high, slack = array.min(), array.max(), _slack(array.dtype, self.low, self.high)
        if self.is_depth and not np.isnan(low):
            return
        if not (low >= self.low - slack and high <= self.high + slack):  # NaN is in no range
            raise ValueError(f"pixels from {low:g} to {high:g} are outside {self.low:g} .. {self.high:g}")

    def read(self, images: Array, seen: Shape) -> Array:
        """Images of a robot as networks see them, uint8 [..., h, w, c].

        Args:
            images: As they were recorded, or as networks see them already.
            seen: Shape [h, w, c].

        Raises:
            ValueError: They are neither; one line says what was expected.
        """
        if images.dtype == np.uint8 and images.shape[-3:] == seen:
            return images
        shape = self.shape(seen)
        if self.is_plain or images.shape[images.ndim - len(shape) :] != shape:
            recorded = "" if self.is_plain else f", or {shape} as recorded, {self}"
            raise ValueError(
                f"has shape {images.shape} and type {images.dtype}, expected {seen} uint8, 0 .. 255{recorded}"
            )
        return self.convert(images)

    def __str__(self) -> str:
        order = {"hwc": "channels last", "chw": "channels first", "hw": "without channels"}[self.axes]
        return f"{order}, {self.low:g} .. {self.high:g}"


def seen_shape(shape: Shape) -> tuple[int, int, int] | None:
    """Shape [h, w, c] of the image that a recorded observation is; None if it is none; see `axes_of`."""
    axes = axes_of(shape)
    if axes is None:
        return None
    height, width, channels = np.roll(shape, -1) if axes == "chw" else (*shape, 1)[:3]
    return int(height), int(width), int(channels)


def axes_of(shape: Shape) -> Axes | None:
    """Order of the axes of a recorded image; None for what is none.

    Args:
        shape: Of one recorded observation: [h, w, c] with 1, 3 or 4 channels, [c, h, w] of at least 8 x 8 pixels, or
            [h, w] of at least 32 x 32.
    """
    if len(shape) == 3 and shape[-1] in CHANNELS:
        return "hwc" if min(shape[:2]) >= MIN_SIDE else None
    if len(shape) == 3 and shape[0] in CHANNELS and min(shape[1:]) >= MIN_PICTURE:
        return "chw"
    return "hw" if len(shape) == 2 and min(shape) >= MIN_PLAIN else None


class ImageRange:
    """Finds the layout of one camera's images from what they hold, slab by slab, in bounded memory.

    Args:
        channels: Of an image.
        count: Numbers in all slabs together.
    """

    def __init__(self, channels: int, count: int) -> None:
        self.channels, self.dtype, self.is_whole = channels, np.dtype(np.uint8), True
        self.low, self.high = math.inf, -math.inf
        self._stride = max(1, count // SAMPLE) | 1  # odd, so that every column of an image has its turn
        self._some: list[Array] = []

    def add(self, images: Array) -> None:
        """Look at finite numbers, of one type in all slabs."""
        if images.size == 0:
            return
        self.dtype = images.dtype
        self.low, self.high = min(self.low, float(images.min())), max(self.high, float(images.max()))
        if images.dtype.kind == "f" and self.is_whole:
            self.is_whole = bool((images == np.trunc(images)).all())
        self._some.append(images.reshape(-1)[:: self._stride].astype(np.float64))

    def layout(self, axes: Axes) -> ImageLayout | None:
        """The layout of images of these axes; None where colors go beyond every range that they are recorded in."""
        is_whole = self.is_whole and self.low >= 0
        if self.dtype == np.uint8 or self.low > self.high:
            return ImageLayout(axes)
        if self.dtype.kind == "b" or (is_whole and self.high <= 1):
            return ImageLayout(axes, *UNIT)
        if self.channels == 1 and not (is_whole and self.high <= BYTES[1]):
            return ImageLayout(axes, *self._usual(), is_depth=True)
        for low, high in (UNIT, SIGNED, BYTES) if self.dtype.kind == "f" else (BYTES, WORDS):
            slack = _slack(self.dtype, low, high)
            if low - slack <= self.low and self.high <= high + slack:
                return ImageLayout(axes, low, high)
        return None

    def _usual(self) -> tuple[float, float]:
        """From the nearest to the farthest distance but for 0.1 % each; 0 and the type's largest measured nothing."""
        some = np.concatenate(self._some)
        nothing = [0.0] if self.dtype.kind == "f" else [0.0, float(np.iinfo(self.dtype).max)]
        told = some[~np.isin(some, nothing)]
        low, high = np.quantile(told if len(told) else some, [USUAL, 1 - USUAL])
        return float(low), float(high) if high > low else float(low) + 1.0


def _channels_first(shape: Shape, wanted: Shape | None) -> bool:
    """Whether a shape of three axes is [c, h, w]."""
    if len(shape) != 3:
        raise ValueError(f"has shape {shape}; an image has three axes")
    if wanted is not None:
        if shape == wanted:
            return False
        if (shape[1], shape[2], shape[0]) == wanted:
            return True
        raise ValueError(f"has shape {shape}, expected is {wanted}, or {(wanted[2], *wanted[:2])} with channels first")
    first, last = shape[0] in CHANNELS, shape[-1] in CHANNELS
    if first == last:
        which = "either end may be the channels" if first else "neither end has 1, 3 or 4 channels"
        raise ValueError(f"has shape {shape}: {which}")
    return first


def _largest(dtype: np.dtype, low: float, high: float) -> float:
    """What white is."""
    if dtype == np.uint8:
        return 255.0
    if dtype.kind == "f" and (low, high) == (0, 1):
        return 1.0
    if dtype.kind in "iuf" and (low, high) == (0, 255):
        return 255.0
    raise ValueError(f"is {dtype} from {low:g} to {high:g}; an image is {ACCEPTED}")


def _slack(dtype: np.dtype, low: float, high: float) -> float:
    """By how much numbers of a type may leave their range."""
    return min(SLACK * (high - low), 1.0) if dtype.kind == "f" else 0.0

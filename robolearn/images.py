"""Images as others keep them, channels first or as floats, brought to 8 bits with the channels last."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray
Shape = tuple[int, ...]

CHANNELS = (1, 3, 4)
ACCEPTED = "0 .. 255, or 0 .. 1 as floats"
SLACK = 1e-3  # by which a float image may leave its range, as resizing does


@dataclass(frozen=True)
class ImageLayout:
    """How an image lies in an array, and how it becomes uint8 [..., h, w, c].

    Attributes:
        channels_first: Whether it is [..., c, h, w].
        largest: What white is: 1 or 255.
    """

    channels_first: bool = False
    largest: int = 255

    @classmethod
    def recognize(
        cls, shape: Shape, dtype: np.dtype, low: float, high: float, wanted: Shape | None = None
    ) -> ImageLayout:
        """Find the layout of an image.

        Args:
            shape: [h, w, c] or [c, h, w].
            dtype: Of its numbers.
            low: The smallest number that may occur; -inf where that is not known.
            high: The largest; inf where that is not known.
            wanted: The shape [h, w, c] that it is to have; None where the number of channels has to tell.

        Raises:
            ValueError: Shape or range do not tell, or are those of no image; one line says why.
        """
        return cls(_channels_first(shape, wanted), _largest(dtype, low, high))

    @property
    def is_plain(self) -> bool:
        """Whether nothing is to be done for an array of bytes."""
        return self == ImageLayout()

    def convert(self, array: Array) -> Array:
        """Bring an image [..., c, h, w] or [..., h, w, c] to uint8 [..., h, w, c].

        Raises:
            ValueError: A number lies outside the range, or is none.
        """
        array = np.moveaxis(array, -3, -1) if self.channels_first else array
        if array.dtype == np.uint8 and self.largest == 255:
            return array
        scaled = array.astype(np.float64) * (255 / self.largest)
        slack = 255 * SLACK if array.dtype.kind == "f" else 0.0
        if scaled.size and not (scaled.min() >= -slack and scaled.max() <= 255 + slack):  # NaN is in no range
            raise ValueError(f"pixels from {array.min():g} to {array.max():g} are outside 0 .. {self.largest}")
        return np.rint(scaled.clip(0, 255)).astype(np.uint8)

    def __str__(self) -> str:
        order = "channels first" if self.channels_first else "channels last"
        return f"{order}, 0 .. {self.largest}"


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


def _largest(dtype: np.dtype, low: float, high: float) -> int:
    """What white is."""
    if dtype == np.uint8:
        return 255
    if dtype.kind == "f" and (low, high) == (0, 1):
        return 1
    if dtype.kind in "iuf" and (low, high) == (0, 255):
        return 255
    raise ValueError(f"is {dtype} from {low:g} to {high:g}; an image is {ACCEPTED}")

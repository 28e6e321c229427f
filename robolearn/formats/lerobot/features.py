"""From the keys of a store to the features of a LeRobot data set."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from robolearn.data.store import DemoStore
from robolearn.errors import UserError
from robolearn.formats.format import REWARD
from robolearn.formats.lerobot.keys import ACTION, NEXT_REWARD, NEXT_SUCCESS, POSITIONS
from robolearn.formats.stored import Demonstrations
from robolearn.images import ImageLayout, ImageRange, axes_of, seen_shape
from robolearn.types import Array

IMAGE_AXES = ["height", "width", "channels"]


@dataclass(frozen=True)
class NumberFeature:
    """A feature of numbers.

    Attributes:
        key: Of the store.
        name: Of the feature.
        shape: Of a step.
        dtype: Type of the numbers.
        names: A name for each of them; empty where there are none.
    """

    key: str
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    names: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """What info.json says of it."""
        return {"dtype": self.dtype.name, "shape": list(self.shape), "names": list(self.names) or None}

    def to_arrow(self, rows: Array) -> pa.Array:
        """Numbers [time, ...] as a column; one number per step stands alone, more are lists of fixed size."""
        rows = np.ascontiguousarray(rows.reshape(len(rows), *self.shape))
        column = pa.array(rows.reshape(-1))
        for size in reversed(self.shape if self.shape != (1,) else ()):
            column = pa.FixedSizeListArray.from_arrays(column, size)
        return column


@dataclass(frozen=True)
class ImageFeature:
    """A feature of images.

    Attributes:
        key: Of the store.
        name: Of the feature.
        shape: [h, w, c] of an image.
        layout: How the store has them.
        is_exact: Whether they are bytes in the store too.
    """

    key: str
    name: str
    shape: tuple[int, ...]
    layout: ImageLayout
    is_exact: bool

    def convert(self, images: Array, where: str) -> Array:
        """Images as uint8 [time, h, w, c].

        Raises:
            UserError: A pixel is no color.
        """
        try:
            return self.layout.convert(images)
        except ValueError as error:
            raise UserError(f"{where}: {self.key}: {error}") from error


def to_color(images: Array) -> Array:
    """Images [time, h, w, c] with three channels: a single one three times, and of four the first three."""
    return np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images[..., :3]


def to_png(images: Array) -> pa.Array:
    """Images uint8 [time, h, w, c] as a column of PNG files, which keep every pixel."""
    entries = []
    for image in images:
        buffer = io.BytesIO()
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, "PNG", compress_level=1)
        entries.append({"bytes": buffer.getvalue(), "path": None})
    return pa.array(entries, pa.struct({"bytes": pa.binary(), "path": pa.string()}))


def choose_features(store: DemoStore, demos: Demonstrations) -> tuple[list[NumberFeature], list[ImageFeature]]:
    """The features of numbers, and those of images.

    Images are what has colors, and what one would take for a gray image of bytes; depth stays numbers.
    """
    numbers, images = [], []
    for key in (ACTION, *((REWARD,) if demos.has_reward else ()), *demos.obs, *demos.others):
        shape, dtype = demos.shapes[key] or (1,), demos.dtypes[key]
        seen = seen_shape(shape) if key != ACTION else None
        layout = None
        if seen is not None and len(shape) == 3 and (dtype == np.uint8 or seen[-1] > 1):
            layout = _layout(store, key, seen[-1])
        name = _name(key, demos, layout is not None, {feature.name for feature in (*numbers, *images)})
        if seen is not None and layout is not None:
            is_exact = dtype == np.uint8 or (layout.low, layout.high) == (0, 255)
            images.append(ImageFeature(key, name, seen, layout, is_exact))
        else:
            names = store.attrs.names.get(key, ())
            numbers.append(NumberFeature(key, name, shape, dtype.newbyteorder("="), names))
    return numbers, images


def _layout(store: DemoStore, key: str, channels: int) -> ImageLayout | None:
    """How a key's images lie in the store; None where they have no colors. What are no bytes is looked through."""
    axes = axes_of(store.shapes[key])
    assert axes is not None, "images have axes"
    if store.dtypes[key] == np.uint8:
        return ImageLayout(axes)
    image_range = ImageRange(channels, int(np.prod(store.shapes[key])) * store.num_steps)
    for _, slab in store.slabs(key):
        image_range.add(slab)
    return image_range.layout(axes)


def _name(key: str, demos: Demonstrations, is_image: bool, taken: set[str]) -> str:
    """The name of a key's feature."""
    if key in (ACTION, REWARD):
        return ACTION if key == ACTION else NEXT_REWARD
    plain = key.replace("/", ".")
    whole = key.startswith("observation.")
    prefix = "" if whole or key in demos.others else "observation.images." if is_image else "observation."
    name = prefix + plain
    while name in (*POSITIONS, NEXT_SUCCESS, NEXT_REWARD, "task", *taken):
        name += "_"
    return name

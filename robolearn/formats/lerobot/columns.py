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
from robolearn.formats.lerobot.keys import ACTION, NEXT_REWARD, NEXT_SUCCESS, POSITIONS, store_names
from robolearn.types import Array, is_image

MAX_AXES = 5  # of a step
IMAGE_AXES = ["height", "width", "channels"]


@dataclass(frozen=True)
class Column:
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
class Camera:
    """A feature of images.

    Attributes:
        key: Of the store.
        name: Of the feature.
        shape: [h, w, c] of an image.
    """

    key: str
    name: str
    shape: tuple[int, ...]

    def to_bytes(self, images: Array, where: str) -> Array:
        """Images of any type of numbers as uint8.

        Raises:
            UserError: A pixel is no whole number in 0 .. 255.
        """
        found = images.astype(np.uint8)
        if images.dtype != np.uint8 and (found != images).any():
            raise UserError(f"{where}: {self.key} has pixels that are no whole numbers 0 .. 255; no image holds them")
        return found


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


def choose_features(store: DemoStore) -> tuple[list[Column], list[Camera], list[str]]:
    """The features of numbers, those of images, and what cannot be held, a sentence each."""
    columns, cameras, lost = [], [], [f"{name} cannot be read: {reason}" for name, reason in store.refused.items()]
    taken: set[str] = set()
    for key in store.keys:
        shape = store.shapes[key] or (1,)
        if fault := store.fault(key):
            lost.append(fault)
        elif len(shape) > MAX_AXES or 0 in shape:
            lost.append(f"{key} is not kept; LeRobot holds no steps of shape {shape}")
        elif is_image(shape) and store.dtypes[key] != np.uint16:
            cameras.append(Camera(key, _name(store, key, taken), shape))
        else:
            dtype = store.dtypes[key].newbyteorder("=")
            columns.append(Column(key, _name(store, key, taken), shape, dtype, store.attrs.names.get(key, ())))
    return columns, cameras, lost


def _name(store: DemoStore, key: str, taken: set[str]) -> str:
    """The name of a key's feature: one that is read as this key again, where there is one."""
    plain = key.replace("/", ".")
    is_camera = is_image(store.shapes[key])
    observed = store.attrs.obs_keys is None or key in store.attrs.obs_keys
    wanted = [f"observation.images.{plain}"] if is_camera else [f"observation.{plain}"] if observed else []
    if key in (ACTION, REWARD):
        wanted = [ACTION if key == ACTION else NEXT_REWARD]
    reserved = {*POSITIONS, NEXT_SUCCESS, "task", *taken}
    choices = [name for name in (*wanted, plain, f"observation.{plain}") if name not in reserved]
    back = [name for name in choices if store_names([name])[name] == key]
    name = next(iter((back if key != ACTION else choices) or choices))
    taken.add(name)
    return name

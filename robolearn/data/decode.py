"""From the arrays of stores to what training keeps: float32 rows and uint8 images, in memory or memory-mapped."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from robolearn.data.checks import color_problem, finite_problem, rows_problem, shape_problem
from robolearn.data.demos import Demos
from robolearn.data.glitches import squeezed
from robolearn.data.store import DemoStore
from robolearn.data.streamed import StreamedImages
from robolearn.errors import UserError
from robolearn.images import ImageLayout, ImageRange, axes_of
from robolearn.locks import turn
from robolearn.paths import default_cache_dir
from robolearn.types import is_image

MAX_WORD = 80  # bytes of a store's or key's name in that of its decoded copy; the fingerprint tells them apart

logger = logging.getLogger("robolearn")


def decode_all(
    demos: Demos,
    keys: Sequence[str],
    cache_dir: str | Path | None,
    max_resident_bytes: int,
    cameras: Mapping[str, ImageLayout],
) -> tuple[dict[str, np.ndarray | StreamedImages], dict[str, ImageLayout], bool]:
    """Decode observations: into memory if they fit; else videos when they are asked for, and others into copies.

    Args:
        demos: Where.
        keys: Which.
        cache_dir: Of the copies.
        max_resident_bytes: What fits.
        cameras: Layouts of images that are known; others are measured.

    Returns:
        Key -> rows; layouts of the images that are not seen as they were recorded; whether all is in memory that does
        not stay in videos. What is no array stays in them.

    Raises:
        UserError: As `image_layouts` and `decode`.
    """
    sizes = {key: decoded_bytes(demos, key) for key in keys}
    fits = sum(sizes.values()) <= max_resident_bytes
    streamed = {} if fits else {key: parts for key in keys if (parts := demos.video(key)) is not None}
    rest = sum(size for key, size in sizes.items() if key not in streamed)
    resident = rest <= max_resident_bytes
    folder = None if resident else Path(cache_dir) if cache_dir else default_cache_dir()
    layouts = {key: image_layouts(demos, key, cameras.get(key)) for key in keys}
    rows: dict[str, np.ndarray | StreamedImages] = {}
    left = max_resident_bytes - (rest if resident else 0)
    for key in keys:
        if key in streamed:
            rows[key] = StreamedImages(streamed[key], left * sizes[key] // (sum(sizes.values()) - rest))
        else:
            rows[key] = decode(demos, key, layouts[key], folder)
    return rows, {key: one for key in keys for one in layouts[key] if not one.is_plain}, resident


def image_layouts(demos: Demos, key: str, known: ImageLayout | None = None) -> tuple[ImageLayout, ...]:
    """How each store's images of a key are recorded; none for what is no image.

    Bytes need no look at them. Others are measured, all stores together: a distance means the same in all of them.

    Args:
        demos: The episodes that are looked at.
        key: Which.
        known: What was measured already of those that are no bytes.

    Raises:
        UserError: Images of several types are mixed, a chunk is damaged, or colors are in no known range.
    """
    if not is_image(demos.shape(key)):
        return ()
    others = [store for store in demos.stores if store.dtypes[key] != np.uint8]
    measured = known or (_measure(demos, key, others) if others else ImageLayout())
    layouts = (measured if store in others else ImageLayout() for store in demos.stores)
    axes = (axes_of(store.shapes[key]) for store in demos.stores)
    return tuple(dataclasses.replace(layout, axes=order) for layout, order in zip(layouts, axes, strict=True))


def _measure(demos: Demos, key: str, others: Sequence[DemoStore]) -> ImageLayout:
    """The layout of images that are no bytes, whatever their axes."""
    for store in others:
        if store.dtypes[key] != others[0].dtypes[key]:
            raise UserError(
                f"{store.path}: data/{key} is of type {store.dtypes[key]}, in {others[0].path} of type "
                f"{others[0].dtypes[key]}; stores that are mixed must agree, or hold bytes"
            )
    measured = ImageRange(demos.shape(key)[2], demos.steps_in(others) * math.prod(demos.shape(key)))
    for store, start, slab in demos.slabs(key, others):
        if problem := finite_problem(key, slab, store.episode_ends, start):
            raise UserError(f"{store.path}: {problem}")
        measured.add(slab)
    layout = measured.layout("hwc")
    if layout is None:
        raise UserError(stray_color(demos, key, others))
    return layout


def stray_color(demos: Demos, key: str, stores: Sequence[DemoStore]) -> str:
    """Where the first color is that is none, in these of the stores."""
    for store, start, slab in demos.slabs(key, stores):
        if problem := color_problem(key, slab, store.episode_ends, start):
            return f"{store.path}: {problem}"
    raise AssertionError("colors are in no range, but none is beyond all of them")


def decode(demos: Demos, key: str, layouts: Sequence[ImageLayout], folder: Path | None = None) -> np.ndarray:
    """Read a key [time, ...], float32 or (images) uint8.

    Args:
        demos: Where.
        key: Which.
        layouts: From `image_layouts`.
        folder: Where a copy is decoded to that is mapped; None decodes into memory.

    Raises:
        UserError: No such key, shapes that differ, wrong rank, a damaged chunk, NaN or infinity, or a number
            that float32 does not hold.
    """
    if folder is not None:
        return memory_map(demos, key, folder, layouts)
    rows = np.empty(*_layout(demos, key))
    for start, slab in _slabs(demos, key, layouts):
        rows[start : start + len(slab)] = slab
    for glitch in squeezed(key, rows, demos.episode_ends, demos.numbers) if rows.ndim == 2 else ():
        logger.warning("%s: %s", demos.name, glitch.sentence)
    return rows


def decoded_bytes(demos: Demos, key: str) -> int:
    """Size of a key once decoded."""
    shape, dtype = _layout(demos, key)
    return int(np.prod(shape, dtype=np.int64)) * dtype.itemsize


def memory_map(demos: Demos, key: str, folder: Path, layouts: Sequence[ImageLayout]) -> np.ndarray:
    """Map the decoded copy of a key, written on first use; it gets its name only when complete."""
    names = (text.encode()[:MAX_WORD].decode(errors="ignore") for text in (demos.stores[0].path.stem, key))
    digest = demos.fingerprint(key)
    if any(layout != ImageLayout() for layout in layouts):  # the same numbers become other pixels
        digest = hashlib.sha256(f"{digest} {list(layouts)}".encode()).hexdigest()[:32]
    target = folder / f"{'-'.join(names)}-{digest}.npy"
    if not target.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with turn(target):
                _write_copy(demos, key, target, layouts)
        except OSError as error:
            raise UserError(f"{target}: cannot write the decoded copy ({error.strerror})") from error
    return np.load(target, mmap_mode="c")  # torch wants writable memory; "c" keeps writes away from the file


def _write_copy(demos: Demos, key: str, target: Path, layouts: Sequence[ImageLayout]) -> None:
    """Write the copy of a key, unless it is there by now; what a killed process left of it is written over."""
    if target.exists():
        return
    shape, dtype = _layout(demos, key)
    partial = target.with_name(f"{target.name}.partial")
    try:
        rows = np.lib.format.open_memmap(partial, mode="w+", dtype=dtype, shape=shape)
        for start, slab in _slabs(demos, key, layouts):
            rows[start : start + len(slab)] = slab
        rows.flush()
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _layout(demos: Demos, key: str) -> tuple[tuple[int, ...], np.dtype]:
    shape = demos.shape(key)
    problem = shape_problem(key, (demos.num_steps, *shape))
    if problem:
        raise UserError(f"{demos.name}: {problem}")
    return (demos.num_steps, *shape), np.dtype(np.uint8 if is_image(shape) else np.float32)


def _slabs(demos: Demos, key: str, layouts: Sequence[ImageLayout]) -> Iterator[tuple[int, np.ndarray]]:
    _layout(demos, key)  # says what is wrong before anything is read
    before, of_store = 0, dict(zip(demos.stores, layouts, strict=False))
    for store, start, slab in demos.slabs(key):
        problem = rows_problem(key, slab, store.episode_ends, start)
        if problem:
            raise UserError(f"{store.path}: {problem}")
        try:
            yield before, of_store[store].convert(slab) if layouts else slab.astype(np.float32, copy=False)
        except ValueError as error:  # of a layout that was measured of other episodes
            raise UserError(f"{store.path}: data/{key}: {error}") from None
        before += len(slab)
    for store in demos.stores:
        if absent := store.absent(key):
            logger.warning(
                "%s: data/%s: %d chunks are absent and were read as the fill value, as zarr does",
                store.path,
                key,
                absent,
            )

"""From the arrays of stores to what training keeps: float32 rows and uint8 images, in memory or memory-mapped."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from robolearn.data.checks import rows_problem, shape_problem
from robolearn.data.demos import Demos
from robolearn.data.glitches import squeezed
from robolearn.errors import UserError
from robolearn.types import is_image

logger = logging.getLogger("robolearn")


def default_cache_dir() -> Path:
    """Where decoded copies go unless told otherwise."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "robolearn"


def decode(demos: Demos, key: str) -> np.ndarray:
    """Read a key into memory [time, ...], float32 or (images) uint8.

    Raises:
        UserError: No such key, shapes that differ, wrong rank, a damaged chunk, NaN or infinity, a number
            that float32 does not hold, or an image outside 0 .. 255.
    """
    rows = np.empty(*_layout(demos, key))
    for start, slab in _slabs(demos, key):
        rows[start : start + len(slab)] = slab
    for line in squeezed(key, rows, demos.episode_ends) if rows.ndim == 2 else ():
        logger.warning("%s: %s", demos.name, line)
    return rows


def decoded_bytes(demos: Demos, key: str) -> int:
    """Size of a key once decoded."""
    shape, dtype = _layout(demos, key)
    return int(np.prod(shape, dtype=np.int64)) * dtype.itemsize


def memory_map(demos: Demos, key: str, folder: Path) -> np.ndarray:
    """Map the decoded copy of a key, written on first use; it gets its name only when complete."""
    target = folder / f"{demos.stores[0].path.stem}-{key}-{demos.fingerprint(key)}.npy"
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{target.name}.{os.getpid()}.partial"
        shape, dtype = _layout(demos, key)
        try:
            rows = np.lib.format.open_memmap(partial, mode="w+", dtype=dtype, shape=shape)
            for start, slab in _slabs(demos, key):
                rows[start : start + len(slab)] = slab
            rows.flush()
            partial.replace(target)
        except OSError as error:
            raise UserError(f"{target}: cannot write the decoded copy ({error.strerror})") from error
        finally:
            partial.unlink(missing_ok=True)
    return np.load(target, mmap_mode="c")  # torch wants writable memory; "c" keeps writes away from the file


def _layout(demos: Demos, key: str) -> tuple[tuple[int, ...], np.dtype]:
    shape = demos.shape(key)
    problem = shape_problem(key, (demos.num_steps, *shape))
    if problem:
        raise UserError(f"{demos.name}: {problem}")
    return (demos.num_steps, *shape), np.dtype(np.uint8 if is_image(shape) else np.float32)


def _slabs(demos: Demos, key: str) -> Iterator[tuple[int, np.ndarray]]:
    _, dtype = _layout(demos, key)
    before = 0
    for store in demos.stores:
        for start, slab in store.slabs(key):
            problem = rows_problem(key, slab, store.episode_ends, start)
            if problem:
                raise UserError(f"{store.path}: {problem}")
            yield before + start, slab.astype(dtype, copy=False)
        if absent := store.absent(key):
            logger.warning(
                "%s: data/%s: %d chunks are absent and were read as the fill value, as zarr does",
                store.path,
                key,
                absent,
            )
        before += store.num_steps

"""Stores in zarr v2, for those whose zarr is older than ours: whole copies, to which nothing is appended."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import Blosc

from robolearn.data.chunks import Files, configured

CHUNK_BYTES = 4 << 20  # of a chunk, decoded


def write_v2(
    path: Path,
    attrs: dict[str, Any],
    keys: Mapping[str, tuple[tuple[int, ...], np.dtype]],
    slabs: Iterable[tuple[str, int, np.ndarray]],
    meta: Mapping[str, np.ndarray],
) -> None:
    """Write arrays as Diffusion Policy's ReplayBuffer has them, compressed by Blosc.

    Args:
        path: Folder to create.
        attrs: Of the root.
        keys: Key -> shape of all its rows, and type.
        slabs: Key, first row and rows, in order; their rows are those of `keys`.
        meta: Name -> array [e], episode_ends among them.
    """
    with configured:
        root = zarr.create_group(Files(path), zarr_format=2, attributes=attrs)
        arrays = {key: _array(root, f"data/{key}", *facts) for key, facts in keys.items()}
        for key, start, rows in slabs:
            arrays[key][start : start + len(rows)] = rows
        for name, values in meta.items():
            _array(root, f"meta/{name}", values.shape, values.dtype)[:] = values


def chunk_rows(shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Rows that go into a chunk of an array [time, ...]."""
    return max(1, min(shape[0], CHUNK_BYTES // max(1, math.prod(shape[1:]) * dtype.itemsize)))


def _array(root: zarr.Group, name: str, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    chunks = (chunk_rows(shape, dtype), *shape[1:])
    packed = Blosc("zstd", 5, Blosc.SHUFFLE)
    return root.create_array(name, shape=shape, dtype=dtype, chunks=chunks, compressors=packed, fill_value=0)

"""Rows out of zarr's chunk files, and what zarr would pass over: chunks that are missing or cut off."""

from __future__ import annotations

import itertools
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.storage import LocalStore

# One batch over all chunks of a slab: 1.5x faster on small chunks.
# Chunks of zeros are written, so that a missing file always means damage.
CONFIG = {"codec_pipeline.batch_size": 4096, "async.concurrency": 4096, "array.write_empty_chunks": True}


class Files(LocalStore):
    """A directory, read without a thread per file."""

    async def get(self, key, prototype=None, byte_range=None):
        """Read a whole file directly; leave ranges to zarr."""
        if byte_range is not None or prototype is None:
            return await super().get(key, prototype, byte_range)
        try:
            return prototype.buffer.from_bytes((self.root / key).read_bytes())
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None


class ChunkReader:
    """Decodes rows of a store's arrays.

    Args:
        path: Directory or zip of the store.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._members = set(zipfile.ZipFile(path).namelist()) if path.is_file() else None

    def rows(self, array: zarr.Array, start: int, stop: int) -> np.ndarray:
        """Decode the rows from `start` up to `stop`.

        Raises:
            ValueError: A chunk is missing, cut off or undecodable; the message names its file.
        """
        chunk = chunk_shape(array)
        first, last = start // chunk[0], -(-stop // chunk[0])
        inner = [range(-(-size // step)) for size, step in zip(array.shape[1:], chunk[1:], strict=True)]
        grid = itertools.product(range(first, last), *inner)
        names = [f"{array.path}/{array.metadata.encode_chunk_key(coords)}" for coords in grid]
        blosc = any(type(codec).__name__.startswith("Blosc") for codec in array.compressors)
        for name in names:
            self._check_chunk(name, blosc)
        try:
            if names and self._members is None and _is_plain_v2(array):
                rows = np.concatenate([_decode_v2(array, (self.path / name).read_bytes()) for name in names])
                return rows[start - first * chunk[0] : stop - first * chunk[0]]
            with zarr.config.set(CONFIG):
                return np.asarray(array[start:stop])
        except Exception as error:  # codecs raise what they like; the reader needs the file's name
            if last - first == 1:
                raise ValueError(f"{self.path}: chunk {names[0]} is damaged ({error})") from error
            middle = chunk[0] * ((first + last) // 2)
            self.rows(array, start, middle)
            self.rows(array, middle, stop)
            raise

    def _check_chunk(self, name: str, blosc: bool) -> None:
        """Raise if a chunk's file is absent, or shorter than its Blosc header says (Blosc reads on)."""
        members = self._members
        present = name in members if members is not None else (self.path / name).is_file()
        if not present:
            raise ValueError(f"{self.path}: chunk {name} is missing; its rows are lost")
        if blosc and members is None:
            with (self.path / name).open("rb") as file:
                header = file.read(16)
                size = os.fstat(file.fileno()).st_size
            if len(header) < 16 or int.from_bytes(header[12:16], "little") > size:
                raise ValueError(f"{self.path}: chunk {name} is cut off after {size} bytes")


def chunk_shape(array: zarr.Array) -> tuple[int, ...]:
    """Rows and inner sizes that one file holds."""
    return array.shards or array.chunks


def _is_plain_v2(array: zarr.Array) -> bool:
    """Whether chunks are whole rows of numbers behind at most one codec, as Diffusion Policy writes them."""
    metadata = array.metadata
    return (
        metadata.zarr_format == 2
        and metadata.order == "C"
        and array.dtype.kind in "fiub"
        and array.chunks[1:] == array.shape[1:]
        and not array.filters
    )


def _decode_v2(array: zarr.Array, content: bytes) -> np.ndarray:
    """Decode a chunk directly; zarr's coroutine and thread per chunk cost 3x more than the decoding."""
    decoded: Any = content
    for codec in array.compressors:
        decoded = codec.decode(decoded)
    return np.frombuffer(decoded, array.dtype).reshape(array.chunks)

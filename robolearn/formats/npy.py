"""Arrays in numpy's files, read forward a block at a time and never unpickled."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from robolearn.data.metadata import FREE_CLAIM
from robolearn.errors import UserError, one_line
from robolearn.formats.columns import Blocks
from robolearn.formats.hdf5_array import RATIO
from robolearn.formats.pointers import refuse_pointer
from robolearn.types import Array

BLOCK_BYTES = 16 << 20
READ = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@contextmanager
def open_arrays(path: Path) -> Iterator[dict[str, Blocks]]:
    """Open the arrays of a .npz, or the one of a .npy by the file's name.

    Raises:
        UserError: It is no such file, is damaged, or holds Python objects, which only unpickling would read.
    """
    refuse_pointer(path)
    if path.suffix == ".npy":
        with ExitStack() as opened:
            yield {path.stem: _column(path, lambda: path.open("rb"), path.stem, path.stat().st_size, opened)}
        return
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise UserError(f"{path}: is no .npz or a damaged one; copy it again ({one_line(error)})") from error
    with archive, ExitStack() as opened:
        arrays = {}
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if info.file_size > max(FREE_CLAIM, RATIO * path.stat().st_size):
                raise UserError(f"{path}: {name} claims to be {info.file_size} bytes, its file is far smaller")
            if info.filename.endswith(".npy"):
                arrays[name] = _column(path, lambda info=info: archive.open(info), name, info.file_size, opened)
        yield arrays


def _column(path: Path, begin: Any, name: str, size: int, opened: ExitStack) -> Blocks:
    """An array as a column; a single number has no rows and the shape ()."""
    with damage(path, name), begin() as stream:
        shape, fortran, dtype = _head(stream)
        start = size - math.prod(shape) * dtype.itemsize
    if dtype.hasobject:
        raise UserError(f"{path}: {name} holds Python objects, which are not unpickled; save plain arrays of numbers")
    if start < 0:
        raise UserError(f"{path}: {name} claims {math.prod(shape)} numbers, more than its file has; copy it again")
    row = max(1, math.prod(shape[1:]) * dtype.itemsize)
    if fortran and len(shape) > 1:  # its rows are not one behind the other

        def whole(first: int, last: int) -> Array:
            with damage(path, name), begin() as stream:
                stream.read(start)
                rows = np.frombuffer(stream.read(), dtype).reshape(shape[::-1]).T
                return np.ascontiguousarray(rows[first:last])

        return Blocks(whole, shape, dtype, shape[0])
    forward = _Forward(path, begin, name, start, row, (shape or (1,))[1:], dtype)
    opened.callback(forward.close)
    return Blocks(forward.read, shape, dtype, BLOCK_BYTES // row)


class _Forward:
    """Reads rows of a stream that only goes forward, so that a later block is read without the earlier ones."""

    def __init__(
        self, path: Path, begin: Any, name: str, start: int, row: int, shape: tuple[int, ...], dtype: np.dtype
    ) -> None:
        self._path, self._begin, self._name, self._start = path, begin, name, start
        self._row, self._shape, self._dtype = row, shape, dtype
        self._stream: io.BufferedIOBase | None = None
        self._at = 0

    def read(self, first: int, last: int) -> Array:
        with damage(self._path, self._name):
            if self._stream is None or first < self._at:
                self.close()
                self._stream, self._at = self._begin(), 0
                self._skip(self._start)
            assert self._stream is not None
            self._skip((first - self._at) * self._row)
            content = self._stream.read((last - first) * self._row)
            self._at = last
            return np.frombuffer(content, self._dtype).reshape(last - first, *self._shape)

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            self._stream.close()
        self._stream = None

    def _skip(self, count: int) -> None:
        while count > 0 and self._stream is not None:
            done = len(self._stream.read(min(count, BLOCK_BYTES)))
            count = count - done if done else 0


def _head(stream: io.BufferedIOBase) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    if version not in READ:
        raise ValueError(f"version {version} of .npy is not read")
    return READ[version](stream)


@contextmanager
def damage(path: Path, name: str) -> Iterator[None]:
    """Name the array that is damaged."""
    try:
        yield
    except UserError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{path}: {name} is damaged; copy the file again ({one_line(error)})") from error

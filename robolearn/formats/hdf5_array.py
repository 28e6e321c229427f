"""One array in an HDF5 file: whether it is admitted, and its rows.

h5py's own classes ask the file for the shape, the type and the layout again with each call, which for the many small
arrays of demonstrations takes longer than reading them. Here each is asked for once, below those classes.
"""

from __future__ import annotations

import math
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from robolearn.data.codecs import check_decoded_size
from robolearn.data.metadata import FREE_CLAIM, MAX_CHUNK
from robolearn.errors import UserError, one_line
from robolearn.types import Array

SHUFFLE, FLETCHER32, DEFLATE, LZF = 2, 3, 1, 32000
FILTERS = {DEFLATE: "gzip", SHUFFLE: "shuffle", FLETCHER32: "fletcher32", LZF: "lzf"}
RATIO = 1100  # how far deflate shrinks what is constant, and a little
UNWEIGHED = 1 << 20  # bytes of a compressed chunk that cannot become more than 1 GiB
DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, UnicodeError)  # what h5py raises at it


class Naming:
    """Turns what h5py raises inside of a block into a UserError that names the place in the file.

    Args:
        path: The file.
        object_id: An object in it, as h5py has it below its classes.
        name: Of a child of the object, if it is that.
    """

    def __init__(self, path: Path, object_id: Any, name: str | None = None) -> None:
        self._path, self._object_id, self._name = path, object_id, name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, DAMAGE) and not isinstance(error, UserError):
            where = name_of(self._object_id, self._name)
            raise UserError(f"{self._path}: {where} is damaged; copy the file again ({one_line(error)})") from error


def name_of(object_id: Any, name: str | None = None) -> str:
    """Where an object lies in its file, or its child of a name."""
    import h5py

    known = h5py.Dataset(object_id) if isinstance(object_id, h5py.h5d.DatasetID) else h5py.Group(object_id)
    there = str(known.name)
    return there if name is None else f"{there.rstrip('/')}/{name}"


class Stored:
    """An array in a file, as a column.

    Args:
        dataset: A h5py.h5d.DatasetID.
        path: Of the file.
        size: Of the file in bytes; None where the array has been admitted before.

    Raises:
        UserError: It is not admitted, and why.
    """

    def __init__(self, dataset: Any, path: Path, size: int | None) -> None:
        self._dataset, self._path = dataset, path
        self._shape: tuple[int, ...] | None = None
        self._dtype: np.dtype | None = None
        if size is not None:
            with Naming(path, dataset):
                self._check(size)

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, and the shape of one; () of what has none."""
        if self._shape is None:
            with Naming(self._path, self._dataset):
                self._shape = tuple(self._dataset.shape or ())
        return self._shape

    @property
    def dtype(self) -> np.dtype:
        """Of its numbers; object where rows are texts or bytes of any length."""
        if self._dtype is None:
            with Naming(self._path, self._dataset):
                self._dtype = np.dtype(self._dataset.dtype)
        return self._dtype

    @property
    def chunk(self) -> int:
        """Rows that are compressed as one; 1 where they are not."""
        chunks = _chunks(self._dataset.get_create_plist())
        return chunks[0] if chunks else 1

    def __getitem__(self, rows: slice, /) -> Array:
        import h5py

        with Naming(self._path, self._dataset):
            start, stop, step = rows.indices(self.shape[0]) if self.shape else (0, 0, 1)
            if self.dtype.kind not in "biuf" or step != 1 or stop <= start:
                return h5py.Dataset(self._dataset)[rows]
            array = np.empty((stop - start, *self.shape[1:]), self.dtype)
            if len(array) == self.shape[0]:
                self._dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, array)
            else:
                part = self._dataset.get_space()
                part.select_hyperslab((start,) + (0,) * (array.ndim - 1), array.shape)
                self._dataset.read(h5py.h5s.create_simple(array.shape), part, array)
            return array

    def value(self) -> Any:
        """A single number, truth value or text; None where it is something else."""
        import h5py

        with Naming(self._path, self._dataset):
            if math.prod(self.shape) != 1:
                return None
            return plain(np.asarray(h5py.Dataset(self._dataset)[()]).reshape(())[()])

    def _check(self, size: int) -> None:
        """Raise a UserError unless the array lies in this file, in filters that are admitted, and can be as large."""
        import h5py

        properties = self._dataset.get_create_plist()
        if properties.get_layout() == h5py.h5d.VIRTUAL or properties.get_external_count():
            raise self._refusal("lies in another file, which is not read; write it into one file")
        codes = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
        other = [code for code in codes if code not in FILTERS]
        if other:
            raise self._refusal(
                f"is compressed by the plug-in {other[0]}, which is not loaded (there are: "
                f"{', '.join(FILTERS.values())}); write it again with: h5repack -f GZIP=1"
            )
        packed = [code for code in codes if code in (DEFLATE, LZF)]
        if len(packed) > 1:
            raise self._refusal("is compressed twice; write it again")
        claim = self.dtype.itemsize * math.prod(self.shape)
        if claim > max(FREE_CLAIM, size * (RATIO if packed else 1)):
            raise self._refusal(f"claims to be {claim} bytes, its file has {size}")
        if chunks := _chunks(properties):
            limit = self.dtype.itemsize * math.prod(chunks)
            if limit > MAX_CHUNK:
                raise self._refusal(f"claims {limit} bytes per chunk; at most {MAX_CHUNK} are read")
            if packed and size > UNWEIGHED:
                self._weigh(limit)

    def _weigh(self, limit: int) -> None:
        """Refuse chunks that become far more than they say when they are unpacked."""
        if self._dataset.get_storage_size() <= UNWEIGHED:
            return
        for i in range(self._dataset.get_num_chunks()):
            info = self._dataset.get_chunk_info(i)
            if info.size > UNWEIGHED:
                content = self._dataset.read_direct_chunk(info.chunk_offset)[1]
                try:
                    check_decoded_size("zlib", content, limit)
                except UserError as error:
                    where = f"{self._path}: {name_of(self._dataset)}"
                    raise UserError(f"{where}: the chunk at {info.chunk_offset} {error}") from error

    def _refusal(self, why: str) -> UserError:
        return UserError(f"{self._path}: {name_of(self._dataset)} {why}")


def _chunks(properties: Any) -> tuple[int, ...] | None:
    """Shape of the chunks that an array is kept in; None where it is kept as one."""
    import h5py

    return properties.get_chunk() if properties.get_layout() == h5py.h5d.CHUNKED else None


def plain(value: Any) -> Any:
    """A number, truth value or text of h5py as Python has it; None where it is something else."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(())[()]
    if isinstance(value, bytes | np.bytes_):
        return value.decode("utf-8", "replace")
    if isinstance(value, str):
        return str(value)
    return value.item() if isinstance(value, np.bool_ | np.integer | np.floating) else None

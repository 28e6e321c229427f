"""HDF5 files of strangers: nothing outside of the file is read, no plug-in is loaded, and sizes are bounded.

HDF5 may hold links to other files, arrays made of other files' arrays, and filters that are programs looked for on
this machine. None of them is followed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from robolearn.data.codecs import check_decoded_size
from robolearn.data.metadata import FREE_CLAIM, MAX_CHUNK
from robolearn.errors import UserError, one_line
from robolearn.formats.pointers import refuse_pointer
from robolearn.types import Array

Group = Any  # h5py.Group and h5py.Dataset; the package is an extra, imported where a file is opened
Dataset = Any
MAGIC = b"\x89HDF\r\n\x1a\n"
IMAGES = "images"  # a group of cameras
SUFFIXES = (".hdf5", ".h5", ".hdf")
SHUFFLE, FLETCHER32, DEFLATE, LZF = 2, 3, 1, 32000
FILTERS = {DEFLATE: "gzip", SHUFFLE: "shuffle", FLETCHER32: "fletcher32", LZF: "lzf"}
RATIO = 1100  # how far deflate shrinks what is constant, and a little
UNWEIGHED = 1 << 20  # bytes of a compressed chunk that cannot become more than 1 GiB
MAX_DEPTH, MAX_COLUMNS = 8, 10_000


@contextmanager
def open_hdf5(path: Path) -> Iterator[Group]:
    """Open a file for reading.

    Raises:
        UserError: It is no such file or damaged, and what to do.
    """
    import h5py

    refuse_pointer(path)
    if path.is_dir():
        raise UserError(f"{path}: is a folder, expected one HDF5 file")
    try:
        file = h5py.File(path, "r", locking=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file or directory") from None
    except OSError as error:
        raise UserError(f"{path}: is no HDF5 file or a damaged one; copy it again ({one_line(error)})") from error
    with file:
        yield file


def is_hdf5(path: Path) -> bool:
    """Whether a path is a file that begins as HDF5 does."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC


def top_names(path: Path) -> dict[str, bool]:
    """Name -> whether it is a group, of what lies in the root of a file; nothing where it cannot be opened."""
    if not is_hdf5(path):
        return {}
    try:
        import h5py

        with open_hdf5(path) as file:
            links = {name: file.get(name, getlink=True) for name in file}
            inside = [name for name, link in links.items() if isinstance(link, h5py.HardLink)]
            return {name: file.get(name, getclass=True) is h5py.Group for name in inside}
    except (ImportError, UserError):
        return {}


def naturally(name: str) -> tuple[Any, ...]:
    """What to sort names by so that demo_10 comes behind demo_2."""
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"([0-9]+)", name))


class Reader:
    """Reads one open file.

    Args:
        file: Open.
        path: Of it, for messages.
    """

    def __init__(self, file: Group, path: Path) -> None:
        import h5py

        self.file, self.path = file, path
        self._h5py, self._size = h5py, path.stat().st_size

    def names(self, group: Group) -> list[str]:
        """Names in a group, demo_2 before demo_10."""
        with self._damage(group.name):
            return sorted(group, key=naturally)

    def child(self, group: Group, name: str) -> Any:
        """A group or data set in a group, None where there is none.

        Raises:
            UserError: It is a link, or a data set that is not admitted.
        """
        where = f"{group.name.rstrip('/')}/{name}"
        with self._damage(where):
            link = group.get(name, getlink=True)
            if link is None:
                return None
            if not isinstance(link, self._h5py.HardLink):
                raise UserError(
                    f"{self.path}: {where} is a link, perhaps to another file, which is not followed; "
                    "copy what it links to into the file"
                )
            found = group[name]
            return Stored(found, self) if isinstance(found, self._h5py.Dataset) else found

    def group(self, group: Group, name: str) -> Group | None:
        """A group in a group; None where there is none or something else."""
        found = self.child(group, name)
        return found if isinstance(found, self._h5py.Group) else None

    def columns(self, group: Group, prefix: str = "", depth: int = 0) -> dict[str, Stored]:
        """All data sets below a group, those in groups by dotted names: policy.joint; a group images adds nothing.

        Raises:
            UserError: One is not admitted, two have the same name, or there are absurdly many.
        """
        found: dict[str, Stored] = {}
        if depth > MAX_DEPTH:
            raise UserError(f"{self.path}: {group.name} lies in more than {MAX_DEPTH} groups")
        for name in self.names(group):
            child = self.child(group, name)
            inner = {prefix + name: child} if isinstance(child, Stored) else {}
            if isinstance(child, self._h5py.Group):
                inner = self.columns(child, prefix if name == IMAGES and not prefix else f"{prefix}{name}.", depth + 1)
            for key, column in inner.items():
                if key in found:
                    raise UserError(f"{self.path}: {group.name} has two data sets that would be called {key}")
                found[key] = column
            if len(found) > MAX_COLUMNS:
                raise UserError(f"{self.path}: {group.name} has more than {MAX_COLUMNS} data sets")
        return found

    def attrs(self, group: Group) -> dict[str, Any]:
        """Attributes: numbers, truth values and text; others are None."""
        found = {}
        with self._damage(group.name):
            for name in group.attrs:
                try:
                    found[name] = plain(group.attrs[name])
                except (TypeError, KeyError):  # a type that numpy does not know
                    found[name] = None
        return found

    @contextmanager
    def _damage(self, where: str | None) -> Iterator[None]:
        """Name the place at which HDF5 finds the file damaged."""
        try:
            yield
        except UserError:
            raise
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, UnicodeError) as error:
            text = one_line(error)
            raise UserError(f"{self.path}: {where} is damaged; copy the file again ({text})") from error

    def check(self, dataset: Dataset) -> None:
        """Raise a UserError unless a data set lies in this file, in filters that are admitted, and can be as large."""
        where, properties = f"{self.path}: {dataset.name}", dataset.id.get_create_plist()
        if properties.get_layout() == self._h5py.h5d.VIRTUAL or properties.get_external_count():
            raise UserError(f"{where} lies in another file, which is not read; write it into one file")
        codes = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
        other = [code for code in codes if code not in FILTERS]
        if other:
            raise UserError(
                f"{where} is compressed by the plug-in {other[0]}, which is not loaded (there are: "
                f"{', '.join(FILTERS.values())}); write it again with: h5repack -f GZIP=1"
            )
        packed = [code for code in codes if code in (DEFLATE, LZF)]
        if len(packed) > 1:
            raise UserError(f"{where} is compressed twice; write it again")
        claim = dataset.dtype.itemsize * int(np.prod(dataset.shape or (), dtype=object))
        if claim > max(FREE_CLAIM, self._size * (RATIO if packed else 1)):
            raise UserError(f"{where} claims to be {claim} bytes, its file has {self._size}")
        if dataset.chunks:
            limit = dataset.dtype.itemsize * int(np.prod(dataset.chunks, dtype=object))
            if limit > MAX_CHUNK:
                raise UserError(f"{where} claims {limit} bytes per chunk; at most {MAX_CHUNK} are read")
            if packed and self._size > UNWEIGHED:
                self._weigh(dataset, where, limit)

    def _weigh(self, dataset: Dataset, where: str, limit: int) -> None:
        """Refuse chunks that become far more than they say when they are unpacked."""
        if dataset.id.get_storage_size() <= UNWEIGHED:
            return
        for i in range(dataset.id.get_num_chunks()):
            info = dataset.id.get_chunk_info(i)
            if info.size > UNWEIGHED:
                content = dataset.id.read_direct_chunk(info.chunk_offset)[1]
                try:
                    check_decoded_size("zlib", content, limit)
                except UserError as error:
                    raise UserError(f"{where}: the chunk at {info.chunk_offset} {error}") from error


class Stored:
    """A data set in a file, as a column."""

    def __init__(self, dataset: Dataset, reader: Reader) -> None:
        reader.check(dataset)
        self._dataset, self._reader = dataset, reader
        self.shape: tuple[int, ...] = dataset.shape or ()
        self.dtype: np.dtype = dataset.dtype

    @property
    def chunk(self) -> int:
        """Rows that are compressed as one; 1 where they are not."""
        return self._dataset.chunks[0] if self._dataset.chunks else 1

    def __getitem__(self, rows: slice, /) -> Array:
        with self._reader._damage(self._dataset.name):
            return self._dataset[rows]

    def value(self) -> Any:
        """A single number, truth value or text; None where it is something else."""
        with self._reader._damage(self._dataset.name):
            if self.shape is None or int(np.prod(self.shape)) != 1:
                return None
            return plain(np.asarray(self._dataset[()]).reshape(())[()])


def plain(value: Any) -> Any:
    """A number, truth value or text of h5py as Python has it; None where it is something else."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(())[()]
    if isinstance(value, bytes | np.bytes_):
        return value.decode("utf-8", "replace")
    if isinstance(value, str):
        return str(value)
    return value.item() if isinstance(value, np.bool_ | np.integer | np.floating) else None

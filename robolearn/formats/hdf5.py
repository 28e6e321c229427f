"""HDF5 files of strangers: nothing outside of the file is read, no plug-in is loaded, and sizes are bounded.

HDF5 may hold links to other files, arrays made of other files' arrays, and filters that are programs looked for on
this machine. None of them is followed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from robolearn.errors import UserError, one_line
from robolearn.formats.hdf5_array import Naming, Stored, name_of, plain
from robolearn.formats.pointers import refuse_pointer

Group = Any  # h5py.Group; the package is an extra, imported where a file is opened
MAGIC = b"\x89HDF\r\n\x1a\n"
IMAGES = "images"  # a group of cameras
SUFFIXES = (".hdf5", ".h5", ".hdf")
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


@lru_cache(4096)
def naturally(name: str) -> tuple[Any, ...]:
    """What to sort names by so that demo_10 comes behind demo_2."""
    parts = enumerate(re.split(r"([0-9]+)", name))  # each second one is a number; other digits, as of powers, are text
    return tuple((0, int(part), "") if i % 2 else (1, 0, part) for i, part in parts)


class Reader:
    """Finds groups and arrays in one open file.

    Args:
        file: Open.
        path: Of it, for messages.
        again: Whether all of it has been gone through before, so that arrays need no second admission.
    """

    def __init__(self, file: Group, path: Path, again: bool = False) -> None:
        import h5py

        self.file, self.path, self.again = file, path, again
        self._h5py, self._size = h5py, path.stat().st_size

    def names(self, group: Group) -> list[str]:
        """Names in a group, demo_2 before demo_10."""
        with Naming(self.path, group.id):
            return sorted(group, key=naturally)

    def child(self, group: Group, name: str) -> Any:
        """A group or an array in a group, None where there is none, or something else, such as a type with a name.

        Raises:
            UserError: It is a link, or an array that is not admitted.
        """
        h5py, code = self._h5py, name.encode("utf-8", "surrogateescape")
        with Naming(self.path, group.id, name):
            if not group.id.links.exists(code):
                return None
            if group.id.links.get_info(code).type != h5py.h5l.TYPE_HARD:
                raise UserError(
                    f"{self.path}: {name_of(group.id, name)} is a link, perhaps to another file, which is not "
                    "followed; copy what it links to into the file"
                )
            object_id = h5py.h5o.open(group.id, code)
            if isinstance(object_id, h5py.h5d.DatasetID):
                return Stored(object_id, self.path, None if self.again else self._size)
            return h5py.Group(object_id) if isinstance(object_id, h5py.h5g.GroupID) else None

    def group(self, group: Group, name: str) -> Group | None:
        """A group in a group; None where there is none or something else."""
        child = self.child(group, name)
        return child if isinstance(child, self._h5py.Group) else None

    def inside(self, group: Group, name: str) -> dict[str, Stored]:
        """What a name in a group stands for: an array, or all those below a group, by dotted names."""
        child = self.child(group, name)
        if isinstance(child, Stored):
            return {name: child}
        return {} if child is None else self.columns(child, f"{name}.")

    def columns(self, group: Group, prefix: str = "", depth: int = 0) -> dict[str, Stored]:
        """All data sets below a group, those in groups by dotted names: policy.joint; a group images adds nothing.

        Raises:
            UserError: One is not admitted, two have the same name, or there are absurdly many.
        """
        columns: dict[str, Stored] = {}
        if depth > MAX_DEPTH:
            raise UserError(f"{self.path}: {group.name} lies in more than {MAX_DEPTH} groups")
        for name in self.names(group):
            child = self.child(group, name)
            inner = {prefix + name: child} if isinstance(child, Stored) else {}
            if isinstance(child, self._h5py.Group):
                inner = self.columns(child, prefix if name == IMAGES and not prefix else f"{prefix}{name}.", depth + 1)
            for key, column in inner.items():
                if key in columns:
                    raise UserError(f"{self.path}: {group.name} has two data sets that would be called {key}")
                columns[key] = column
            if len(columns) > MAX_COLUMNS:
                raise UserError(f"{self.path}: {group.name} has more than {MAX_COLUMNS} data sets")
        return columns

    def attrs(self, group: Group) -> dict[str, Any]:
        """Attributes: numbers, truth values and text; others are None."""
        attrs = {}
        with Naming(self.path, group.id):
            for name in group.attrs:
                try:
                    attrs[name] = plain(group.attrs[name])
                except (TypeError, KeyError):  # a type that numpy does not know
                    attrs[name] = None
        return attrs

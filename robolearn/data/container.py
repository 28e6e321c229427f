"""The files of a store, a directory or a zip of one, read with a limit and never from outside of it.

A store may come from a stranger: links that lead out of it, entries with absolute names, encrypted ones, pipes that
never end and files that are far too large are refused before a byte of them is read.
"""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from robolearn.errors import UserError

MAX_CHILDREN = 10_000  # of a group


class Container:
    """Reads files by their names inside a store.

    Args:
        path: Directory or zip.

    Raises:
        UserError: The path is neither, or a zip that is encrypted or names files outside of itself.
        OSError: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip = None if path.is_dir() else _open_zip(path)
        self._root = os.path.realpath(path)
        self._inside: dict[str, bool] = {}  # folder -> whether it lies in the store

    def read(self, name: str, limit: int) -> bytes | None:
        """Content of a file, None where there is none.

        Raises:
            UserError: It is larger than `limit` bytes, no plain file, damaged, or lies outside of the store.
        """
        return self._read_file(name, limit) if self._zip is None else self._read_entry(self._zip, name, limit)

    def children(self, folder: str) -> list[str]:
        """Names of the folders inside a folder, sorted.

        Raises:
            UserError: There are absurdly many.
        """
        if self._zip is not None:
            parts = (PurePosixPath(name).parts for name in self._zip.namelist())
            folders = {part[1] for part in parts if len(part) > 2 and part[0] == folder}
        elif not self._is_inside(os.path.join(self._root, folder)):
            raise UserError(f"{self.path}: {folder} is a link out of the store")
        else:
            try:
                with os.scandir(self.path / folder) as entries:
                    folders = {entry.name for entry in entries if entry.is_dir()}
            except (FileNotFoundError, NotADirectoryError):
                folders = set()
        if len(folders) > MAX_CHILDREN:
            raise UserError(f"{self.path}: {folder} holds {len(folders)} folders; at most {MAX_CHILDREN} are read")
        return sorted(folders)

    def locate(self, name: str) -> Path:
        """Where a file is, or would be, for those who read it themselves.

        Raises:
            UserError: It lies in a zip, or outside of the store.
        """
        if self._zip is not None:
            raise UserError(f"{self.path}: {name} lies in a zip, where videos cannot be decoded; unpack it")
        file = os.path.join(self._root, name)
        if not self._is_inside(os.path.dirname(file)) or (os.path.islink(file) and not self._is_inside(file)):
            raise UserError(f"{self.path}: {name} is a link out of the store")
        return Path(file)

    def sizes(self, folder: str) -> dict[str, int]:
        """Name -> bytes of all files below a folder."""
        if self._zip is not None:
            return {i.filename: i.file_size for i in self._zip.infolist() if i.filename.startswith(f"{folder}/")}
        sizes: dict[str, int] = {}
        for parent, _, names in os.walk(self.path / folder):
            for name in names:
                file = os.path.join(parent, name)
                sizes[os.path.relpath(file, self.path)] = os.lstat(file).st_size
        return sizes

    def _read_file(self, name: str, limit: int) -> bytes | None:
        file = os.path.join(self._root, name)
        try:
            mode = os.lstat(file).st_mode
            if not self._is_inside(os.path.dirname(file)) or (stat.S_ISLNK(mode) and not self._is_inside(file)):
                raise UserError(f"{self.path}: {name} is a link out of the store")
            info = os.stat(file)
            if stat.S_ISDIR(info.st_mode):
                return None
            if not stat.S_ISREG(info.st_mode):
                raise UserError(f"{self.path}: {name} is no plain file")
            _check_size(self.path, name, info.st_size, limit)
            with open(file, "rb") as stream:
                return stream.read()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _is_inside(self, path: str) -> bool:
        """Whether a folder or link leads to something in the store; asked once per folder."""
        if path not in self._inside:
            real = os.path.realpath(path)
            self._inside[path] = real == self._root or real.startswith(self._root + os.sep)
        return self._inside[path]

    def _read_entry(self, archive: zipfile.ZipFile, name: str, limit: int) -> bytes | None:
        try:
            info = archive.getinfo(name)
        except KeyError:
            return None
        _check_size(self.path, name, info.file_size, limit)
        try:
            return archive.read(info)  # stops at the declared size
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
            raise UserError(f"{self.path}: {name} is damaged ({error})") from error


def _check_size(path: Path, name: str, size: int, limit: int) -> None:
    if size > limit:
        raise UserError(f"{path}: {name} has {size} bytes; at most {limit} are read")


def _open_zip(path: Path) -> zipfile.ZipFile:
    if not path.is_file():
        raise UserError(f"{path}: neither a zarr directory nor a zip of one (no plain file)")
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise UserError(f"{path}: neither a zarr directory nor a zip of one ({error})") from error
    for info in archive.infolist():
        name = PurePosixPath(info.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts:
            raise UserError(f"{path}: the entry {info.filename!r} lies outside of the zip")
        if info.flag_bits & 1:
            raise UserError(f"{path}: the zip is encrypted")
    return archive

"""Files on a remote file system; the one place that knows fsspec, which is imported for a URL alone."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from robolearn.errors import UserError, one_line

PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}
# What changes with the content, by whatever names file systems give it; the size is nearly always there.
STAMPS = ("ETag", "etag", "md5Hash", "generation", "LastModified", "last_modified", "mtime", "created")


class RemoteError(UserError):
    """A remote file system could not do what was asked; the message names the copy here where there is one."""


class Storage:
    """A remote file, or all files below a folder, by their names relative to it; a file itself has the name "".

    Args:
        url: Of either; there need not be anything.

    Raises:
        RemoteError: fsspec or a package for it is not installed, or there is no such protocol.
    """

    def __init__(self, url: str):
        self.url = url
        protocol = url.partition("://")[0]
        try:
            core: Any = importlib.import_module("fsspec.core")
            # Folders are made on the way in a file system here; elsewhere a bucket must not be made by mistake.
            options = {"auto_mkdir": True} if protocol in ("file", "local") else {}
            with self._asked("cannot be opened", ImportError, ValueError):
                self._files, self._root = core.url_to_fs(url, **options)
        except ImportError as error:
            package = "robolearn[remote]" if (error.name or "").startswith("fsspec") else PACKAGES.get(protocol)
            how = f"pip install '{package}'" if package else one_line(error)
            raise RemoteError(f"{url}: a package for {protocol}:// is not installed; {how}") from error
        except ValueError as error:
            raise RemoteError(
                f"{url}: {one_line(error)}; choose s3, gs, abfs, sftp, file or another of fsspec's protocols"
            ) from error

    def list(self) -> dict[str, str]:
        """Name -> what changes with the content, the bytes of the file first; empty where there is nothing.

        Raises:
            RemoteError: It cannot be reached, or a name would lead out of the folder.
        """
        with self._asked("cannot be read"):
            self._files.invalidate_cache()
            try:
                entries = self._files.find(self._root, detail=True)
            except FileNotFoundError:
                entries = {}
            is_told = {name: bool(info) and info.get("size") is not None for name, info in entries.items()}
            infos = {name: info if is_told[name] else self._files.info(name) for name, info in entries.items()}
        files = {
            self._name(path): info
            for path, info in infos.items()
            if info.get("type") != "directory" and f"{path}/".startswith(f"{self._root}/")  # x2 is no part of x
        }
        return {name: "|".join(str(info.get(key)) for key in ("size", *STAMPS)) for name, info in files.items()}

    def _name(self, path: str) -> str:
        name = path.removeprefix(self._root).removeprefix("/")
        if ".." in PurePosixPath(name).parts or name.startswith("/"):
            raise RemoteError(f"{self.url}: the name {name!r} leads out of it")
        return name

    def fetch(self, files: Mapping[str, Path]) -> None:
        """Copy files to paths here, several at once where the file system can.

        Raises:
            FileNotFoundError: One is not there any more.
            RemoteError: It cannot be read, or not be written here.
        """
        with self._asked("cannot be fetched", FileNotFoundError):
            self._files.get(list(map(self._path, files)), list(map(str, files.values())))

    def read(self, name: str) -> bytes:
        """Content of a small file.

        Raises:
            RemoteError: It cannot be read.
        """
        with self._asked("cannot be read"):
            return self._files.cat_file(self._path(name))

    def send(self, files: Mapping[str, Path]) -> None:
        """Copy files from paths here, several at once where the file system can; an object store replaces each whole.

        Raises:
            RemoteError: It cannot be written.
        """
        with self._asked("cannot be written"):
            self._files.put(list(map(str, files.values())), list(map(self._path, files)))

    def write(self, name: str, content: bytes) -> None:
        """Write a small file beside its place and move it there, so that file systems of disks replace it whole too.

        Raises:
            RemoteError: It cannot be written.
        """
        path = self._path(name)
        with self._asked("cannot be written"):
            self._files.pipe_file(f"{path}.part", content)
            self._move(f"{path}.part", path)

    def _move(self, source: str, target: str) -> None:
        """Move one file, whatever signs are in its name: fsspec's own `mv` takes [, * and ? for a pattern."""
        spec: Any = importlib.import_module("fsspec.spec")
        if type(self._files).mv is not spec.AbstractFileSystem.mv:  # a rename of the file system
            self._files.mv(source, target)
            return
        self._files.cp_file(source, target)
        self._files.rm_file(source)

    def remove(self, names: Sequence[str]) -> None:
        """Remove files, if they are there.

        Raises:
            RemoteError: One cannot be removed.
        """
        for name in names:
            with suppress(FileNotFoundError), self._asked("cannot be removed", FileNotFoundError):
                self._files.rm_file(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    @contextmanager
    def _asked(self, what: str, *but: type[Exception]) -> Iterator[None]:
        """Turn whatever a stranger's file system raises into one line, but for errors that the caller answers."""
        try:
            yield
        except but:
            raise
        except Exception as error:
            raise RemoteError(f"{self.url} {what} ({type(error).__name__}: {one_line(error)})") from error


def size_of(stamp: str) -> int | None:
    """Bytes of a file that `list` found; None where the file system does not tell, as servers of pages."""
    size = stamp.partition("|")[0]
    return int(size) if size.isdecimal() else None

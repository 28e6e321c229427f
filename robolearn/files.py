"""Files that appear complete or not at all, one by one or several together."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from robolearn.paths import StrPath as StrPath
from robolearn.paths import place_of

BEGUN, COMPLETE, GONE = ".new.part", ".new", ".gone"
PAGE = 4096  # bytes; a full disk still takes files without any


def take_paths(config: Any, *names: str) -> None:
    """Let text stand for a path in these fields of a frozen dataclass."""
    for name in names:
        if (value := getattr(config, name)) is not None:
            object.__setattr__(config, name, place_of(value))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a file to write beside `path`, and let it take the place of `path` once the block has ended well.

    A kill or an error leaves whatever was at `path` before.

    Raises:
        OSError: A directory or a device is there, which must not be replaced.
    """
    check_replaceable(path)
    part = path.with_name(f"{path.name}.part")
    if part.is_symlink():  # writing would follow it
        part.unlink()
    try:
        with naming(path):
            yield part
            part.replace(path)
    finally:
        with contextlib.suppress(IsADirectoryError, PermissionError):  # not ours, and the writing has said so
            part.unlink(missing_ok=True)


@contextmanager
def naming(path: Path, part: Path | None = None) -> Iterator[None]:
    """Let what the operating system refuses in the block name a file or folder.

    It names the file where one is opened and none where it is written, so that nobody knows which disk is full. An
    error of a library that is text alone stays as it is: with a file beside it, Python would no longer show the text.

    Args:
        path: What is named where nothing is.
        part: Of it, until it is complete: what lies there is gone by the time that somebody reads the message.
    """
    try:
        yield
    except OSError as error:
        unnamed = error.filename is None or (part is not None and str(error.filename).startswith(str(part)))
        if unnamed and error.strerror is not None:
            error.filename = str(path)
        raise


def check_writable(path: Path) -> None:
    """Raise an OSError unless a file can be written here, before the work whose result it shall hold.

    Its folder is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    check_replaceable(path)
    part = path.with_name(f"{path.name}.part")
    with naming(path, part):
        part.unlink(missing_ok=True)  # writing would follow a link
        try:
            part.write_bytes(bytes(PAGE))
            flush(part)
        finally:
            part.unlink(missing_ok=True)


def check_replaceable(path: Path) -> None:
    """Raise an OSError unless a file may take this place; a rename would do away with a device, such as /dev/null."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a directory, expected the name of a file", str(path))
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "is a device, expected the name of a file", str(path))


@contextmanager
def replacing_all(directory: Path, names: Collection[str]) -> Iterator[Path]:
    """Give a folder to write files into, and let them take their places in `directory` together at the end.

    A kill or an error at any moment leaves the old files or the new ones, never some of both, for all who call
    `finish_replacing` before they read. Other files in the directory stay.

    Args:
        directory: Made if it is not there. Whoever may meet another writer holds its lock.
        names: Of all files that belong together; those of them that the block does not write are removed.
    """
    directory.mkdir(parents=True, exist_ok=True)
    finish_replacing(directory)
    part = directory / BEGUN
    remove(part)
    try:
        with naming(directory, part):
            part.mkdir()
            yield part
            for name in names:
                if not (part / name).exists():
                    (part / f"{name}{GONE}").touch()
            for file in (*part.iterdir(), part):
                flush(file)
            part.rename(directory / COMPLETE)  # from here on the new ones hold
    finally:
        with contextlib.suppress(OSError):
            remove(part)
    finish_replacing(directory)


def finish_replacing(directory: Path) -> None:
    """Put the files of a `replacing_all` that was killed while it moved them into their places."""
    whole = directory / COMPLETE
    if not whole.is_dir():
        return
    with contextlib.suppress(FileNotFoundError):  # the writer itself, still alive, was faster
        for file in sorted(whole.iterdir()):
            if file.name.endswith(GONE):
                (directory / file.name.removesuffix(GONE)).unlink(missing_ok=True)
                file.unlink()
            else:
                file.replace(directory / file.name)
        whole.rmdir()


def remove(path: Path) -> None:
    """Remove a file, a link (not what it points to) or a whole directory, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Make sure that a file or directory has reached the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

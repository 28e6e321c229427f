"""One writer at a time: whoever writes into a store or a run directory holds its lock.

The lock is the operating system's, on a file in the directory. It ends with the process that holds it, however that
ends, so a kill locks nobody out. Who only reads needs none: files appear whole or not at all.

It is known on one machine, or as far as a shared file system carries it. Who holds that of a copy of something remote
finds the copy up to date, and sends what was written in the end.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from robolearn.errors import UserError
from robolearn.paths import is_copy

LOCK_FILE = ".lock"
GLANCE = 1.0  # [s]; who reads a copy takes its lock for a moment, to see whether somebody has it


class HeldError(UserError):
    """Another process writes into the directory."""


class DirectoryLock:
    """The right to write into a directory, from now until `release`.

    Args:
        directory: Made if it is not there, and then taken away again on release unless something was put into it.

    Raises:
        HeldError: Another process has it; the line says which one.
        OSError: The directory cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        self._directory, self._made = directory, not directory.exists()
        directory.mkdir(parents=True, exist_ok=True)
        self._file = directory / LOCK_FILE
        self._lock = FileLock(self._file, timeout=GLANCE if is_copy(directory) else 0, thread_local=False)
        try:
            self._lock.acquire()
        except Timeout:
            raise HeldError(
                f"{directory} is being written by {self._holder()}; wait until it has ended, or end it"
            ) from None
        with contextlib.suppress(OSError):  # a full disk: the name is a courtesy, the lock holds without it
            command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            by = f"process {os.getpid()} on {socket.gethostname()} since {since} ({command})\n"
            self._file.write_text(by, encoding="utf-8", errors="surrogateescape")

    def release(self) -> None:
        """Let others write; a second call does nothing."""
        if not self._lock.is_locked:
            return
        with contextlib.suppress(OSError):
            self._file.unlink()  # while it is held: who waits for this file finds it gone, and takes a new one
        self._lock.release()
        if self._made:
            with contextlib.suppress(OSError):  # something was put into it
                self._directory.rmdir()

    def _holder(self) -> str:
        try:
            return self._file.read_text("utf-8", errors="replace").strip().splitlines()[0]
        except (OSError, IndexError):  # it has ended meanwhile, or has not yet written its name
            return "another process"


@contextmanager
def hold(directory: Path) -> Iterator[None]:
    """Hold the lock of a directory, see DirectoryLock; that of a copy is kept the same as its original."""
    from robolearn.remote.sync import kept_same  # which imports this

    lock = DirectoryLock(directory)
    try:
        with kept_same(directory):
            yield
    finally:
        lock.release()


def is_held(directory: Path) -> bool:
    """Whether somebody here writes into a directory, this process or another."""
    if not (directory / LOCK_FILE).exists():
        return False
    try:
        with FileLock(directory / LOCK_FILE, timeout=0, thread_local=False):
            return False
    except Timeout:
        return True


@contextmanager
def turn(path: Path) -> Iterator[None]:
    """The right to write a file, from now on; who comes second waits until the first has ended, however that ends.

    Raises:
        OSError: Its directory cannot be written.
    """
    lock = FileLock(path.with_name(f"{path.name}{LOCK_FILE}"), thread_local=False)
    with lock:
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                Path(lock.lock_file).unlink()  # while it is held, as in `release`

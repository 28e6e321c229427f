"""One writer at a time: whoever writes into a store or a run directory holds its lock.

The lock is the operating system's, on a file in the directory. It ends with the process that holds it, however that
ends, so a kill locks nobody out. Who only reads needs none: files appear whole or not at all.
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

LOCK_FILE = ".lock"


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
        self._lock = FileLock(self._file, timeout=0, thread_local=False)
        try:
            self._lock.acquire()
        except Timeout:
            raise HeldError(
                f"{directory} is being written by {self._holder()}; wait until it has ended, or end it"
            ) from None
        with contextlib.suppress(OSError):  # a full disk: the name is a courtesy, the lock holds without it
            command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            self._file.write_text(f"process {os.getpid()} on {socket.gethostname()} since {since} ({command})\n")

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
            return self._file.read_text(errors="replace").strip().splitlines()[0]
        except (OSError, IndexError):  # it has ended meanwhile, or has not yet written its name
            return "another process"


@contextmanager
def hold(directory: Path) -> Iterator[None]:
    """Hold the lock of a directory; see DirectoryLock."""
    lock = DirectoryLock(directory)
    try:
        yield
    finally:
        lock.release()

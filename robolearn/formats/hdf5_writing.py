"""HDF5 files that are written on disks which may refuse: on a full one the library ends the process with a crash.

What cannot be flushed when a file is closed is flushed once more when its last object is gone, and HDF5 does not
survive that. So it writes through a stream that takes everything, and says afterwards what the disk refused.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Group = Any  # h5py.Group


@contextmanager
def writing_hdf5(path: Path) -> Iterator[tuple[Group, Callable[[], None]]]:
    """Create a file.

    Args:
        path: Of it.

    Yields:
        The open file, and a function that raises what the disk has refused; call it now and then, as what is refused
        stays in memory until then. It is called in the end.

    Raises:
        OSError: The disk refused some of it.
    """
    import h5py

    with path.open("w+b", buffering=0) as raw:
        stream = Patient(raw)
        with h5py.File(stream, "w") as file:
            yield file, stream.check
        stream.check()


class Patient:
    """A file that raises nothing when it is written: what the disk refuses stays in memory, where it can be read.

    Args:
        raw: Open for reading and writing, without a buffer.
    """

    def __init__(self, raw: Any) -> None:
        self._raw, self._at, self._end = raw, 0, 0
        self._refusal: OSError | None = None
        self._kept: list[tuple[int, bytes]] = []  # in the order in which they were written

    def check(self) -> None:
        """Raise the first refusal of the disk, if there was one."""
        if self._refusal is not None:
            raise self._refusal

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._end}[whence]
        return self._at

    def tell(self) -> int:
        """The place."""
        return self._at

    def write(self, data: Any) -> int:
        """Write bytes here, all of them."""
        whole, done = memoryview(data).cast("B"), 0
        while self._refusal is None and done < len(whole):
            try:
                done += os.pwrite(self._raw.fileno(), whole[done:], self._at + done)
            except OSError as error:
                self._refusal = error
        if done < len(whole):
            self._kept.append((self._at, bytes(whole)))
        self._at += len(whole)
        self._end = max(self._end, self._at)
        return len(whole)

    def readinto(self, buffer: Any) -> int:
        """Read bytes from here; what was never written is zero."""
        whole = memoryview(buffer).cast("B")
        count = max(0, min(len(whole), self._end - self._at))
        there = os.pread(self._raw.fileno(), count, self._at)
        whole[:count] = there + bytes(count - len(there))
        for start, data in self._kept:
            low, high = max(start, self._at), min(start + len(data), self._at + count)
            if low < high:
                whole[low - self._at : high - self._at] = data[low - start : high - start]
        self._at += count
        return count

    def read(self, size: int = -1) -> bytes:
        """Read bytes from here."""
        buffer = bytearray(self._end - self._at if size < 0 else size)
        return bytes(buffer[: self.readinto(buffer)])

    def truncate(self, size: int | None = None) -> int:
        """Let the file end here, or at so many bytes."""
        self._end = self._at if size is None else size
        if self._refusal is None:
            try:
                os.ftruncate(self._raw.fileno(), self._end)
            except OSError as error:
                self._refusal = error
        return self._end

    def flush(self) -> None:
        """Nothing waits."""

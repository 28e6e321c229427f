"""What is known of copies: as what a file was last the same here and there, or what was being done to it.

It is written before anything is changed, so that a kill at any moment leaves no file of which nobody knows whose it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from robolearn.paths import copies_dir
from robolearn.remote.storage import RemoteError

GONE = "gone"  # here: removed by who holds the lock, to be removed there too
TAKING = "taking"  # here: whatever there is is to be replaced by what is there
SENDING = "sending "  # there, before what it was: whatever there is is ours, perhaps half


class Known(NamedTuple):
    """Of one file."""

    here: str | None
    there: str | None


class Ledger:
    """The files below a place, in a database that all processes here share."""

    def __init__(self, root: Path):
        self._root = root.relative_to(copies_dir()).as_posix()
        self._file = copies_dir() / "ledger.sqlite"

    def read(self) -> dict[str, Known]:
        """Name, relative to the place -> what is known."""
        first, end = f"{self._root}/", f"{self._root}0"  # 0 follows the slash
        with self._opened() as base:
            rows = base.execute(
                "SELECT path, here, there FROM files WHERE path = ? OR (path >= ? AND path < ?)",
                (self._root, first, end),
            ).fetchall()
        return {path[len(first) :]: Known(here, there) for path, here, there in rows}

    def note(self, files: Mapping[str, Known | None]) -> None:
        """Write down what is known of files, all at once; None forgets one."""
        paths = {name: f"{self._root}/{name}" if name else self._root for name in files}
        with self._opened() as base:
            base.executemany("DELETE FROM files WHERE path = ?", [(path,) for path in paths.values()])
            rows = [(paths[name], *known) for name, known in files.items() if known is not None]
            base.executemany("INSERT INTO files VALUES (?, ?, ?)", rows)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._file, timeout=60)) as base, base:
                base.execute("CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, here TEXT, there TEXT)")
                yield base
        except sqlite3.Error as error:
            raise RemoteError(f"{self._file}: {error}") from error

"""Tables that hold several episodes, a file until it is full."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from robolearn.formats.lerobot.encode import Numbered

GROUP_BYTES = 1 << 20  # of rows that are written as one group, at least


class TableWriter:
    """Writes tables one behind the other.

    Args:
        folder: Where the numbered folders go.
        max_bytes: A file that would grow beyond is ended before the next table.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder, self._max = folder, max_bytes
        self._at = Numbered()
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._bytes = self._tables = 0

    def next_file(self) -> tuple[int, int]:
        """Numbers of the folder and file that the next table goes into; a file that is full is ended."""
        if self._tables and self._bytes + self._bytes / self._tables >= self._max:
            self.close()
            self._at.advance()
        return self._at.chunk, self._at.file

    def append(self, table: pa.Table) -> None:
        """Write a table where `next_file` said."""
        self._waiting.append(table)
        self._bytes += table.nbytes
        self._tables += 1
        if sum(part.nbytes for part in self._waiting) >= GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        """End the file."""
        if self._waiting:
            self._flush()
        if self._writer is not None:
            self._writer.close()
        self._writer, self._bytes, self._tables = None, 0, 0

    def _flush(self) -> None:
        table = pa.concat_tables(self._waiting)
        if self._writer is None:
            path = self._folder / f"chunk-{self._at.chunk:03d}" / f"file-{self._at.file:03d}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(path, table.schema, compression="snappy", use_dictionary=True)
        self._writer.write_table(table)
        self._waiting = []

"""Rows out of parquet: which episodes lie in which files, and columns of any nesting as arrays."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from robolearn.errors import UserError
from robolearn.formats.lerobot.files import damage, match_files

EPISODE, TASK_INDEX = "episode_index", "task_index"
THREADS_BYTES = 4 << 20  # of a group of rows, from which on several threads are faster than one
NUMBER = re.compile(r"episode[_-]?(\d+)\.parquet$")
DATA = (
    "data/chunk-{episode_chunk}/episode_{episode_index}.parquet",
    "data/chunk-{chunk_index}/file-{file_index}.parquet",
)


@dataclass(frozen=True)
class Rows:
    """Rows of a file that belong to one episode, `start` up to `stop`."""

    path: Path
    start: int
    stop: int


@dataclass(frozen=True)
class Tables:
    """What the tables of a data set hold, known from their footers and their column of episodes.

    Attributes:
        episodes: Number of an episode -> its rows, in the order of the numbers; they may lie in several files.
        schemas: The different schemas of the files.
        mixed: Numbers of the episodes whose steps have different tasks.
    """

    episodes: dict[int, tuple[Rows, ...]]
    schemas: tuple[pa.Schema, ...]
    mixed: tuple[int, ...]


def find_tables(root: Path, names: Sequence[str], template: str | None) -> Tables:
    """Find the episodes in the tables of a data set.

    A file whose name has the number of an episode holds that one. In the others the column of episodes tells.

    Args:
        root: Folder of the data set.
        names: Its files.
        template: Of the tables' names, as info.json has it; where it fits none, all tables are taken.

    Raises:
        UserError: There are none, one is damaged, or an episode lies in two places.
    """
    outside = [name for name in names if name.endswith(".parquet") and not name.startswith("meta/")]
    files = match_files(outside, [template or "", *DATA]) or [(name, {}) for name in outside]
    if not files:
        raise UserError(f"{root}: there are no tables in it (data/**/*.parquet); download them")
    episodes: dict[int, list[Rows]] = {}
    schemas: dict[bytes, pa.Schema] = {}
    mixed, last = set(), None
    for name, fields in files:
        number = fields.get(EPISODE) or next(iter(NUMBER.findall(name)), None)
        schema, runs = _look_into(root / name, None if number is None else int(number))
        schemas.setdefault(schema.serialize().to_pybytes(), schema)
        for number, rows, is_mixed in runs:
            if number in episodes and number != last:
                raise UserError(
                    f"{root}: episode {number} is in {episodes[number][0].path.relative_to(root)} and again in {name}; "
                    "keep one of them, or give it another number"
                )
            episodes.setdefault(number, []).append(rows)
            mixed |= {number} if is_mixed else set()
            last = number
    if not episodes:
        raise UserError(f"{root}: its tables have no rows; download them again")
    return Tables({n: tuple(episodes[n]) for n in sorted(episodes)}, tuple(schemas.values()), tuple(sorted(mixed)))


Run = tuple[int, Rows, bool]  # number of an episode, its rows, whether they have different tasks


def _look_into(path: Path, number: int | None) -> tuple[pa.Schema, list[Run]]:
    """The schema of a file without its metadata, and which rows of it are of which episode."""
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow.remove_metadata()
            for name in schema.names:
                if schema.names.count(name) > 1:
                    raise UserError(f"{path} has the column {name} twice; rename one of them, or take it out")
            if number is not None and _is_constant(file, EPISODE):
                rows = Rows(path, 0, file.metadata.num_rows)
                return schema, [(number, rows, not _is_constant(file, TASK_INDEX))] if rows.stop else []
            if EPISODE not in schema.names:
                raise UserError(f"{path} has no column {EPISODE}, so it does not tell where an episode begins")
            columns = [name for name in (EPISODE, TASK_INDEX) if name in schema.names]
            table = file.read(columns)
    except (pa.ArrowException, OSError) as error:
        raise damage(path, "parquet file", error) from error
    numbers, *tasks = (to_array(table[name], f"{path}: {name}").reshape(-1) for name in columns)
    _check_numbers(numbers, table.num_rows, f"{path}: {EPISODE}")
    bounds = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
    runs = [Rows(path, a, b) for a, b in pairwise(bounds) if b > a]
    parts = [task[rows.start : rows.stop] for rows in runs for task in tasks] or [numbers[:1]] * len(runs)
    return schema, [
        (int(numbers[rows.start]), rows, bool((part != part[0]).any())) for rows, part in zip(runs, parts, strict=True)
    ]


def _check_numbers(numbers: np.ndarray, rows: int, where: str) -> None:
    """Raise a UserError unless there is a whole number from 0 on in each row."""
    if numbers.dtype.kind not in "iuf" or len(numbers) != rows:
        raise UserError(
            f"{where} is {numbers.dtype}, {len(numbers)} in {rows} rows; expected a number of an episode each"
        )
    wrong = np.flatnonzero(~((numbers >= 0) & (numbers < 2**62) & (numbers == np.trunc(numbers))))
    if len(wrong):
        raise UserError(
            f"{where} is {numbers[wrong[0]]} in row {wrong[0]}; expected the number of an episode, 0, 1, 2 ..."
        )


def _is_constant(file: pq.ParquetFile, name: str) -> bool:
    """Whether a column has one value in all rows, as far as the footer tells."""
    indices = [i for i in range(len(file.schema)) if file.schema.column(i).path == name]
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    stats = [group.column(index).statistics for index in indices for group in groups]
    known = [entry for entry in stats if entry is not None and entry.has_min_max]
    return len({value for entry in known for value in (entry.min, entry.max)}) <= 1


class RowReader:
    """Reads rows of one file after the other; the last group of rows stays decoded for those who ask for more of it.

    Args:
        columns: Names of those that are read.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = list(columns)
        self._path: Path | None = None
        self._file: pq.ParquetFile | None = None
        self._ends = np.zeros(0, np.int64)
        self._group: tuple[int, pa.Table] | None = None

    def read(self, parts: Sequence[Rows]) -> pa.Table:
        """The rows of an episode as one table."""
        try:
            tables = [table for rows in parts for table in self._slices(rows)]
        except (pa.ArrowException, OSError) as error:
            raise damage(parts[0].path, "parquet file", error) from error
        return tables[0] if len(tables) == 1 else pa.concat_tables(tables, promote_options="permissive")

    def close(self) -> None:
        """Close the file that is open."""
        if self._file is not None:
            self._file.close()
        self._file = self._group = self._path = None

    def _slices(self, rows: Rows) -> Iterator[pa.Table]:
        if rows.path != self._path:
            self.close()
            self._file, self._path = pq.ParquetFile(rows.path), rows.path
            meta = self._file.metadata
            self._ends = np.cumsum([meta.row_group(i).num_rows for i in range(meta.num_row_groups)], dtype=np.int64)
        group = int(np.searchsorted(self._ends, rows.start, side="right"))
        start = rows.start
        while start < rows.stop:
            first = int(self._ends[group - 1]) if group else 0
            stop = min(rows.stop, int(self._ends[group]))
            yield self._decoded(group).slice(start - first, stop - start)
            start, group = stop, group + 1

    def _decoded(self, group: int) -> pa.Table:
        assert self._file is not None
        if self._group is None or self._group[0] != group:
            self._group = None  # before the next one is there
            large = self._file.metadata.row_group(group).total_byte_size > THREADS_BYTES
            self._group = (group, self._file.read_row_group(group, columns=self._columns, use_threads=large))
        return self._group[1]


def value_type(kind: pa.DataType) -> pa.DataType:
    """What the lists of a column hold in the end."""
    while _is_list(kind) or isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind.value_type
    return kind


def number_type(kind: pa.DataType) -> np.dtype | None:
    """The type of a column's numbers; None where it holds none."""
    kind = value_type(kind)
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return np.dtype(kind.to_pandas_dtype())
    return None


def is_picture(kind: pa.DataType) -> bool:
    """Whether a column holds encoded images: bytes, or bytes beside the path of a file."""
    if pa.types.is_struct(kind):
        return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def to_array(column: pa.ChunkedArray, where: str) -> np.ndarray:
    """Numbers of a column [time, ...], however its lists are nested; a number per step is [time].

    Raises:
        UserError: Entries are empty, or lists of one column differ in length.
    """
    shape, rows = [len(column)], column.combine_chunks()
    if isinstance(rows, pa.ChunkedArray):  # of none, or of more than fit into one
        rows = pa.concat_arrays(rows.chunks) if rows.num_chunks else pa.array([], rows.type)
    if isinstance(rows, pa.ExtensionArray):
        rows = rows.storage
    while _is_list(rows.type):
        _refuse_empty(rows, where)
        shape.append(_length(rows, where))
        rows = rows.flatten()
    _refuse_empty(rows, where)
    return rows.to_numpy(zero_copy_only=False).reshape(shape)


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _length(rows: Any, where: str) -> int:
    if pa.types.is_fixed_size_list(rows.type):
        return rows.type.list_size
    lengths = pc.call_function("list_value_length", [rows]).unique().to_pylist()
    if len(lengths) > 1:
        raise UserError(f"{where} has lists of {min(lengths)} to {max(lengths)} entries; a step's shape cannot change")
    return lengths[0] if lengths else 0


def _refuse_empty(rows: Any, where: str) -> None:
    if rows.null_count:
        step = int(np.flatnonzero(rows.is_null().to_numpy(zero_copy_only=False))[0])
        raise UserError(f"{where} has {rows.null_count} empty entries (null), the first at {step}; fill them first")

"""What is said of each episode: its length, its texts, where in the videos it is, and numbers of one's own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from robolearn.data.keys import store_attr
from robolearn.errors import UserError
from robolearn.formats.lerobot.files import damage, read_text
from robolearn.types import Scalar

EPISODES_TABLES, EPISODES_LINES = "meta/episodes/", "meta/episodes.jsonl"
TASKS_TABLE, TASKS_LINES = "meta/tasks.parquet", "meta/tasks.jsonl"
ROWS_AT_ONCE = 4096
OURS = ("data/", "videos/", "meta/", "stats/", "dataset_")  # how columns begin that say where something is


@dataclass(frozen=True)
class Clip:
    """Where an episode is in a camera's videos.

    Attributes:
        chunk: Number of the folder.
        file: Number of the file.
        start: [s] from the beginning of the file.
        stop: [s], exclusive.
    """

    chunk: int
    file: int
    start: float
    stop: float


@dataclass(frozen=True)
class Said:
    """What is said of an episode.

    Attributes:
        tasks: What was asked for, in words, one or several.
        clips: Camera -> where it is, in files that hold several episodes.
        numbers: Name -> a number or truth value of the episode.
    """

    tasks: tuple[str, ...] = ()
    clips: dict[str, Clip] = field(default_factory=dict)
    numbers: dict[str, Scalar] = field(default_factory=dict)


def read_episodes(root: Path, names: Sequence[str]) -> dict[int, Said]:
    """Number of an episode -> what is said of it; empty where nothing is said.

    Raises:
        UserError: A file of facts is damaged.
    """
    tables = [name for name in names if name.startswith(EPISODES_TABLES) and name.endswith(".parquet")]
    episodes = {}
    for row in _table_rows(root, tables) if tables else _lines(root / EPISODES_LINES):
        number = row.get("episode_index")
        if isinstance(number, int):
            episodes[number] = _said(row)
    return episodes


def read_tasks(root: Path) -> dict[int, str]:
    """Number of a task -> its text; empty where there are none.

    Raises:
        UserError: The file is damaged.
    """
    rows = _table_rows(root, [TASKS_TABLE]) if (root / TASKS_TABLE).exists() else _lines(root / TASKS_LINES)
    tasks = {}
    for row in rows:  # the column of the texts is called "task", or as pandas calls an index without a name
        texts = [row["task"]] if isinstance(row.get("task"), str) else [t for t in row.values() if isinstance(t, str)]
        if isinstance(row.get("task_index"), int) and texts:
            tasks[row["task_index"]] = texts[0]
    return tasks


def _said(row: Mapping[str, Any]) -> Said:
    tasks = row.get("tasks")
    tasks = [tasks] if isinstance(tasks, str) else tasks if isinstance(tasks, list) else []
    clips = {}
    for column in row:
        if column.startswith("videos/") and column.endswith("/chunk_index"):
            camera = column.removeprefix("videos/").removesuffix("/chunk_index")
            clip = [row.get(f"videos/{camera}/{name}") for name in _CLIP]
            if all(isinstance(value, int | float) for value in clip):
                chunk, file, start, stop = (float(value) for value in clip if value is not None)
                clips[camera] = Clip(int(chunk), int(file), start, stop)
    numbers = {
        store_attr(name): value
        for name, value in row.items()
        if isinstance(value, bool | int | float)
        and name not in ("episode_index", "length", "task_index")
        and not name.startswith(OURS)
    }
    return Said(tuple(text for text in tasks if isinstance(text, str)), clips, numbers)


_CLIP = ("chunk_index", "file_index", "from_timestamp", "to_timestamp")


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    for number, line in enumerate(read_text(path).split("\n"), start=1):  # a text may hold other ends of lines
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: line {number} is no JSON ({error}); mend it, or remove the file") from error
        if isinstance(row, dict):
            yield row


def _table_rows(root: Path, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for name in names:
        try:
            with pq.ParquetFile(root / name) as file:
                columns = [column for column in file.schema_arrow.names if not column.startswith("stats/")]
                for batch in file.iter_batches(ROWS_AT_ONCE, columns=columns):
                    yield from batch.to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise damage(root / name, "parquet file", error) from error

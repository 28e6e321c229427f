"""What a LeRobot data set says of itself: meta/info.json, the texts of the tasks, the statistics, README.md."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from robolearn.data.store import DemoStore
from robolearn.formats.format import TASK
from robolearn.formats.lerobot.encode import MAX_FILES
from robolearn.formats.lerobot.info import DECLARED, INFO, OURS

VERSION = "v3.0"
DATA_MB, VIDEO_MB = 100, 200  # of a file, as lerobot has them
PATTERN = "chunk-{chunk_index:03d}/file-{file_index:03d}"
NO_TASK = "no task stated"
NAMED_INDEX = "__index_level_0__"  # how pandas, and so lerobot, calls an index without a name


class Texts:
    """The texts of a data set's tasks, and which is an episode's.

    Args:
        store: Where the demonstrations are.
        task: Text for all episodes; None for those of the store.

    Attributes:
        all: The texts, by their numbers.
    """

    def __init__(self, store: DemoStore, task: str | None) -> None:
        given = (task,) if task else store.attrs.tasks or (store.attrs.env_id or NO_TASK,)
        numbers = store.episode_attrs.get(TASK) if store.attrs.tasks and not task else None
        if numbers is None:
            numbers = np.full(store.num_episodes, 0 if len(given) == 1 else -1)
        known = (numbers >= 0) & (numbers < len(given))
        self._numbers = np.where(known, numbers, len(given))
        self.all = given if known.all() else (*given, NO_TASK)

    def number(self, episode: int) -> int:
        """Which text is an episode's."""
        return int(self._numbers[episode])


@dataclass(frozen=True)
class Description:
    """What is known once all episodes are written.

    Attributes:
        fps: Steps per second.
        features: Name -> what info.json says of it.
        episodes: Number of episodes.
        steps: Number of steps.
        texts: Those of the tasks.
        stats: Feature -> statistics.
    """

    fps: int | float
    features: Mapping[str, Any]
    episodes: int
    steps: int
    texts: Sequence[str]
    stats: Mapping[str, Any]

    def write(self, out: Path, store: DemoStore) -> list[str]:
        """Write it, and return what the format cannot hold, a sentence each."""
        splits, lost = _splits(store, self.episodes)
        has_videos = any(feature["dtype"] == "video" for feature in self.features.values())
        declared = {name: getattr(store.attrs, name) for name in DECLARED if getattr(store.attrs, name)}
        info = {
            "codebase_version": VERSION,
            "robot_type": store.attrs.robot or None,
            "total_episodes": self.episodes,
            "total_frames": self.steps,
            "total_tasks": len(self.texts),
            "chunks_size": MAX_FILES,
            "data_files_size_in_mb": DATA_MB,
            "video_files_size_in_mb": VIDEO_MB,
            "fps": self.fps,
            "splits": splits,
            "data_path": f"data/{PATTERN}.parquet",
            "video_path": f"videos/{{video_key}}/{PATTERN}.mp4" if has_videos else None,
            "features": self.features,
            **({OURS: declared} if declared else {}),
        }
        _write_json(out / INFO, info)
        _write_json(out / "meta" / "stats.json", self.stats)
        _write_tasks(out / "meta" / "tasks.parquet", self.texts)
        (out / "README.md").write_text(_readme(store.attrs.licence))
        return lost


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=4, ensure_ascii=False))


def _write_tasks(path: Path, texts: Sequence[str]) -> None:
    """The texts as the index of a table, as pandas marks one."""
    column = {"metadata": None, "field_name": "task_index", "name": "task_index"}
    index = {"metadata": None, "field_name": NAMED_INDEX, "name": None}
    marks = {
        "index_columns": [NAMED_INDEX],
        "column_indexes": [],
        "columns": [
            {**column, "pandas_type": "int64", "numpy_type": "int64"},
            {**index, "pandas_type": "unicode", "numpy_type": "object"},
        ],
    }
    table = pa.table({"task_index": pa.array(range(len(texts)), pa.int64()), NAMED_INDEX: pa.array(texts, pa.string())})
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(marks)}), path)


def _splits(store: DemoStore, episodes: int) -> tuple[dict[str, str], list[str]]:
    """Parts as ranges, and a sentence for each that is none."""
    found, lost = {}, []
    for name, numbers in store.attrs.splits.items():
        kept = sorted(number for number in numbers if number < episodes)
        if kept and kept == list(range(kept[0], kept[-1] + 1)):
            found[name] = f"{kept[0]}:{kept[-1] + 1}"
        elif kept:
            lost.append(f"the part {name} is not kept; its episodes are no range")
    return found or {"train": f"0:{episodes}"}, lost


def _readme(licence: str) -> str:
    """The card that the hub shows."""
    lines = [*([f"license: {licence}"] if licence else []), "task_categories:", "- robotics", "tags:", "- LeRobot"]
    lines += ["configs:", "- config_name: default", "  data_files: data/*/*.parquet"]
    return "\n".join(["---", *lines, "---", "", "A data set of LeRobot, written by robolearn.", ""])

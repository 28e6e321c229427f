"""What a LeRobot data set says of itself: meta/info.json, the texts of the tasks, the statistics, README.md."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from robolearn.formats.lerobot.encode import MAX_FILES
from robolearn.formats.lerobot.info import INFO
from robolearn.formats.stored import NOTE, Note

VERSION = "v3.0"
DATA_MB, VIDEO_MB = 100, 200  # of a file, as lerobot has them
PATTERN = "chunk-{chunk_index:03d}/file-{file_index:03d}"
NAMED_INDEX = "__index_level_0__"  # how pandas, and so lerobot, calls an index without a name


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
        note: Of the store that it was made of; other readers pass over it.
    """

    fps: int | float
    features: Mapping[str, Any]
    episodes: int
    steps: int
    texts: Sequence[str]
    stats: Mapping[str, Any]
    note: Note

    def write(self, out: Path) -> list[str]:
        """Write it, and return what the format cannot hold, a sentence each."""
        attrs = self.note.attrs
        splits, lost = _splits(attrs.splits, self.episodes)
        has_videos = any(feature["dtype"] == "video" for feature in self.features.values())
        info = {
            "codebase_version": VERSION,
            "robot_type": attrs.robot or None,
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
            NOTE: self.note.to_json(),
        }
        _write_json(out / INFO, info)
        _write_json(out / "meta" / "stats.json", self.stats)
        _write_tasks(out / "meta" / "tasks.parquet", self.texts)
        (out / "README.md").write_text(_readme(attrs.licence), encoding="utf-8")
        return lost


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=4, ensure_ascii=False), encoding="utf-8")


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


def _splits(parts: Mapping[str, Sequence[int]], episodes: int) -> tuple[dict[str, str], list[str]]:
    """Parts as ranges, and a sentence for each that is none."""
    ranges, lost = {}, []
    for name, numbers in parts.items():
        if sorted(numbers) == list(range(min(numbers), max(numbers) + 1)):
            ranges[name] = f"{min(numbers)}:{max(numbers) + 1}"
        else:
            lost.append(f"the part {name} is no range of episodes, so that LeRobot does not see it")
    return ranges or {"train": f"0:{episodes}"}, lost


def _readme(licence: str) -> str:
    """The card that the hub shows."""
    lines = [*([f"license: {licence}"] if licence else []), "task_categories:", "- robotics", "tags:", "- LeRobot"]
    lines += ["configs:", "- config_name: default", "  data_files: data/*/*.parquet"]
    return "\n".join(["---", *lines, "---", "", "A data set of LeRobot, written by robolearn.", ""])

"""Write a store as a LeRobot data set, v3.0: tables and videos that hold several episodes, and facts beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from robolearn.data.store import DemoStore
from robolearn.errors import UserError
from robolearn.formats.format import TASK, ExportOptions
from robolearn.formats.lerobot.columns import IMAGE_AXES, Camera, Column, choose_features, to_color, to_png
from robolearn.formats.lerobot.described import DATA_MB, VIDEO_MB, Description, Texts
from robolearn.formats.lerobot.encode import VideoWriter
from robolearn.formats.lerobot.keys import ACTION, NEXT_SUCCESS
from robolearn.formats.lerobot.parts import TableWriter
from robolearn.formats.lerobot.stats import Totals, image_stats, number_stats
from robolearn.types import Array, Episode

MB = 1 << 20
SUCCESS = "success"
POSITIONS = {"timestamp": "float32"} | dict.fromkeys(("frame_index", "episode_index", "index", "task_index"), "int64")


def write_lerobot(store: DemoStore, out: Path, options: ExportOptions) -> tuple[str, ...]:
    """Write a store as a LeRobot data set, and return what it cannot hold.

    Args:
        store: Where the demonstrations are.
        out: Folder to make.
        options: Steps per second and the task where the store does not say them, how many episodes, and how images
            are kept.

    Raises:
        UserError: Nothing says how many steps a second has, or an image has pixels that no image holds.
    """
    fps = options.fps or (1 / store.attrs.control_dt if store.attrs.control_dt else None)
    if fps is None:
        raise UserError(f"{store.path} does not say how many steps a second has; give `fps`")
    columns, cameras, lost = choose_features(store)
    count = min(store.num_episodes, options.episodes or store.num_episodes)
    writer = _Writer(store, out, columns, cameras, Texts(store, options.task), _whole(fps), options.images == "video")
    with writer.opened:
        for index in range(count):
            writer.append(store.episode(index))
    lost += writer.description().write(out, store)
    return (*lost, *_lost_pixels(cameras, options.images == "video"))


def _whole(fps: float) -> int | float:
    """A rate as a whole number, which lerobot expects, where it is one but for rounding."""
    return round(fps) if round(fps) and abs(fps - round(fps)) < 1e-6 * fps else fps


def _lost_pixels(cameras: Sequence[Camera], as_video: bool) -> list[str]:
    found = []
    for camera in cameras if as_video else ():
        found.append(f"{camera.key} is compressed as a video, which changes pixels a little; `images` exact keeps them")
        if camera.shape[-1] == 1:
            found.append(f"{camera.key} has one channel; a video has three, which are equal then")
        elif camera.shape[-1] == 4:
            found.append(f"{camera.key} has four channels; the last one is not kept in a video")
    return found


class _Writer:
    """Writes the episodes of a store, one after the other; the files are ended when `opened` is closed."""

    def __init__(
        self,
        store: DemoStore,
        out: Path,
        columns: Sequence[Column],
        cameras: Sequence[Camera],
        texts: Texts,
        fps: int | float,
        as_video: bool,
    ) -> None:
        self._store, self._columns, self._cameras, self._texts, self._fps = store, columns, cameras, texts, fps
        outcomes = store.episode_attrs.get(SUCCESS)
        self._has_success = outcomes is not None and bool(np.isin(outcomes, (0, 1)).all())
        self.opened = ExitStack()
        self._data = TableWriter(out / "data", DATA_MB * MB)
        self._facts = TableWriter(out / "meta" / "episodes", DATA_MB * MB)
        self._videos = {
            camera.name: VideoWriter(out / "videos" / camera.name, fps, VIDEO_MB * MB)
            for camera in (cameras if as_video else ())
        }
        for part in (self._data, self._facts, *self._videos.values()):
            self.opened.callback(part.close)
        self._totals = Totals()
        self._episodes = self._steps = 0

    def append(self, episode: Episode) -> None:
        """Write the next episode."""
        arrays = {**episode.obs, ACTION: episode.actions}
        rows = {column.name: column.to_arrow(arrays[column.key]) for column in self._columns}
        stats = {column.name: number_stats(arrays[column.key].reshape(len(episode), -1)) for column in self._columns}
        facts: dict[str, Any] = {}
        for camera in self._cameras:
            images = camera.to_bytes(arrays[camera.key], f"{self._store.path}: episode {self._episodes}")
            if video := self._videos.get(camera.name):
                images = to_color(images)
                facts |= {f"videos/{camera.name}/{name}": value for name, value in video.append(images).items()}
            else:
                rows[camera.name] = to_png(images)
            stats[camera.name] = image_stats(images)
        positions = self._positions(episode)
        stats |= {name: number_stats(values[:, None]) for name, values in positions.items()}
        chunk, file = self._data.place()
        self._data.append(pa.table({**rows, **{name: pa.array(values) for name, values in positions.items()}}))
        self._append_facts(episode, {"data/chunk_index": chunk, "data/file_index": file, **facts}, stats)

    def description(self) -> Description:
        """What the data set says of itself."""
        features: dict[str, Any] = {column.name: column.describe() for column in self._columns}
        for camera in self._cameras:
            shape = list(camera.shape)
            features[camera.name] = {"dtype": "image", "shape": shape, "names": IMAGE_AXES}
            if video := self._videos.get(camera.name):
                features[camera.name] |= {"dtype": "video", "shape": [*shape[:2], 3], "info": video.facts}
        further = {**POSITIONS, **({NEXT_SUCCESS: "bool"} if self._has_success else {})}
        features |= {name: {"dtype": dtype, "shape": [1], "names": None} for name, dtype in further.items()}
        return Description(self._fps, features, self._episodes, self._steps, self._texts.all, self._totals.result())

    def _positions(self, episode: Episode) -> dict[str, Array]:
        """Columns that say where a row is, and whether its episode succeeded with it."""
        steps = np.arange(len(episode))
        found = {
            "timestamp": (steps / self._fps).astype(np.float32),
            "frame_index": steps,
            "episode_index": np.full(len(episode), self._episodes),
            "index": self._steps + steps,
            "task_index": np.full(len(episode), self._texts.number(self._episodes)),
        }
        if self._has_success:
            found[NEXT_SUCCESS] = (steps == len(episode) - 1) & bool(episode.attrs[SUCCESS])
        return found

    def _append_facts(self, episode: Episode, facts: dict[str, Any], stats: Mapping[str, dict[str, Array]]) -> None:
        chunk, file = self._facts.place()
        held = {TASK, "tasks", "length", *POSITIONS, *({SUCCESS} if self._has_success else ())}
        row: dict[str, Any] = {
            "episode_index": self._episodes,
            "tasks": [self._texts.all[self._texts.number(self._episodes)]],
            "length": len(episode),
            "dataset_from_index": self._steps,
            "dataset_to_index": self._steps + len(episode),
            "meta/episodes/chunk_index": chunk,
            "meta/episodes/file_index": file,
            **facts,
            **{name: value for name, value in episode.attrs.items() if name not in held},
        }
        for feature, values in stats.items():
            self._totals.add(feature, values)
            row |= {f"stats/{feature}/{name}": value.tolist() for name, value in values.items()}
        self._facts.append(pa.Table.from_pylist([row]))
        self._episodes += 1
        self._steps += len(episode)

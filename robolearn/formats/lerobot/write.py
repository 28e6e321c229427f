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
from robolearn.formats.lerobot.described import DATA_MB, VIDEO_MB, Description
from robolearn.formats.lerobot.encode import VideoWriter
from robolearn.formats.lerobot.episodes import OURS
from robolearn.formats.lerobot.features import IMAGE_AXES, ImageFeature, choose_features, to_color, to_png
from robolearn.formats.lerobot.keys import ACTION, NEXT_SUCCESS, store_names
from robolearn.formats.lerobot.parts import TableWriter
from robolearn.formats.lerobot.stats import Totals, image_stats, number_stats
from robolearn.formats.stored import Demonstrations, Note
from robolearn.types import Array, Episode

MB = 1 << 20
SUCCESS = "success"
NO_TASK = "no task stated"
OWN = ("tasks", "length")  # beside the positions, of an episode
POSITIONS = {"timestamp": "float32"} | dict.fromkeys(("frame_index", "episode_index", "index", "task_index"), "int64")


def write_lerobot(store: DemoStore, out: Path, options: ExportOptions) -> tuple[str, ...]:
    """Write a store as a LeRobot data set, and return what it cannot hold.

    Args:
        store: Where the demonstrations are.
        out: Folder to make.
        options: Steps per second and the task where the store does not say them, how many episodes, and how images
            are kept.

    Raises:
        UserError: Nothing says how many steps a second has, or an image has pixels that are no colors.
    """
    demos = Demonstrations(store, options)
    writer = _Writer(store, demos, out, options.images == "video")
    with writer.opened:
        for episode in demos:
            writer.append(episode)
    return (*demos.lost, *writer.description().write(out), *writer.lost())


def _rate(store: DemoStore, demos: Demonstrations) -> int | float:
    """Steps per second: whole, as lerobot expects it, where that is so but for rounding."""
    if demos.attrs.control_dt is None:
        raise UserError(f"{store.path} does not say how many steps a second has; give `fps`")
    fps = 1 / demos.attrs.control_dt
    return round(fps) if round(fps) and abs(fps - round(fps)) < 1e-6 * fps else fps


class _Writer:
    """Writes the episodes of a store, one after the other; the files are ended when `opened` is closed."""

    def __init__(self, store: DemoStore, demos: Demonstrations, out: Path, as_video: bool) -> None:
        self._path, self._demos, self._fps = store.path, demos, _rate(store, demos)
        self._numbers, self._images = choose_features(store, demos)
        self._texts = list(demos.attrs.tasks)
        outcomes = store.episode_attrs.get(SUCCESS)
        self._has_success = outcomes is not None and bool(np.isin(outcomes, (0, 1)).all())
        self.opened = ExitStack()
        self._data = TableWriter(out / "data", DATA_MB * MB)
        self._facts = TableWriter(out / "meta" / "episodes", DATA_MB * MB)
        self._videos = {
            image.name: VideoWriter(out / "videos" / image.name, self._fps, VIDEO_MB * MB)
            for image in (self._images if as_video else ())
        }
        for part in (self._data, self._facts, *self._videos.values()):
            self.opened.callback(part.close)
        self._totals = Totals()
        self._episodes = self._steps = 0

    def append(self, episode: Episode) -> None:
        """Write the next episode."""
        arrays = {**episode.obs, ACTION: episode.actions}
        rows = {number.name: number.to_arrow(arrays[number.key]) for number in self._numbers}
        stats = {number.name: number_stats(arrays[number.key].reshape(len(episode), -1)) for number in self._numbers}
        facts: dict[str, Any] = {}
        for image in self._images:
            pictures = image.convert(arrays[image.key], f"{self._path}: episode {self._episodes}")
            if video := self._videos.get(image.name):
                pictures = to_color(pictures)
                facts |= {f"videos/{image.name}/{name}": value for name, value in video.append(pictures).items()}
            else:
                rows[image.name] = to_png(pictures)
            stats[image.name] = image_stats(pictures)
        text = self._demos.task_of(episode) or self._demos.attrs.env_id or NO_TASK
        positions = self._positions(episode, text)
        stats |= {name: number_stats(values[:, None]) for name, values in positions.items()}
        chunk, file = self._data.next_file()
        self._data.append(pa.table({**rows, **{name: pa.array(values) for name, values in positions.items()}}))
        facts |= {"data/chunk_index": chunk, "data/file_index": file, "tasks": [text]}
        self._append_facts(episode, facts, stats)

    def description(self) -> Description:
        """What the data set says of itself."""
        features: dict[str, Any] = {number.name: number.describe() for number in self._numbers}
        for image in self._images:
            features[image.name] = {"dtype": "image", "shape": list(image.shape), "names": IMAGE_AXES}
            if video := self._videos.get(image.name):
                features[image.name] |= {"dtype": "video", "shape": [*image.shape[:2], 3], "info": video.facts}
        keys = {feature.name: feature.key for feature in (*self._numbers, *self._images) if feature.key != ACTION}
        plain = store_names(list(keys))
        made = frozenset(name for name in self._demos.made if name == TASK)
        note = Note(self._demos.attrs, made, {name: key for name, key in keys.items() if plain[name] != key})
        further = {**POSITIONS, **({NEXT_SUCCESS: "bool"} if self._has_success else {})}
        features |= {name: {"dtype": dtype, "shape": [1], "names": None} for name, dtype in further.items()}
        totals = self._totals.result()
        return Description(self._fps, features, self._episodes, self._steps, self._texts, totals, note)

    def lost(self) -> list[str]:
        """What becomes of images, and which numbers of episodes are not kept, a sentence each."""
        changes = [sentence for image in self._images for sentence in _changes(image, image.name in self._videos)]
        own = self._demos.overruled(list(filter(_is_own, self._demos.attr_names)))
        unsaid = TASK in self._demos.attr_names and not self._demos.attrs.tasks
        return [
            *own,
            *([f"{TASK} is not kept; there are no texts that its numbers stand for"] if unsaid else ()),
            *changes,
        ]

    def _positions(self, episode: Episode, text: str) -> dict[str, Array]:
        """Columns that say where a row is, and whether its episode succeeded with it."""
        if text not in self._texts:
            self._texts.append(text)
        steps = np.arange(len(episode))
        columns = {
            "timestamp": (steps / self._fps).astype(np.float32),
            "frame_index": steps,
            "episode_index": np.full(len(episode), self._episodes),
            "index": self._steps + steps,
            "task_index": np.full(len(episode), self._texts.index(text)),
        }
        if self._has_success:
            columns[NEXT_SUCCESS] = (steps == len(episode) - 1) & bool(episode.attrs[SUCCESS])
        return columns

    def _append_facts(self, episode: Episode, facts: dict[str, Any], stats: Mapping[str, dict[str, Array]]) -> None:
        chunk, file = self._facts.next_file()
        held = {TASK, *({SUCCESS} if self._has_success else ())}
        row: dict[str, Any] = {
            "episode_index": self._episodes,
            "length": len(episode),
            "dataset_from_index": self._steps,
            "dataset_to_index": self._steps + len(episode),
            "meta/episodes/chunk_index": chunk,
            "meta/episodes/file_index": file,
            **facts,
            **{name: value for name, value in episode.attrs.items() if name not in held and not _is_own(name)},
        }
        for feature, values in stats.items():
            self._totals.add(feature, values)
            row |= {f"stats/{feature}/{name}": value.tolist() for name, value in values.items()}
        self._facts.append(pa.Table.from_pylist([row]))
        self._episodes += 1
        self._steps += len(episode)


def _is_own(name: str) -> bool:
    """Whether LeRobot has something of its own under the name of an episode's number."""
    return name in (*OWN, *POSITIONS) or name.startswith(OURS)


def _changes(image: ImageFeature, is_video: bool) -> Sequence[str]:
    """How a key's images differ from those of the store, a sentence each."""
    changes = []
    if image.layout.axes == "chw":
        changes.append(f"{image.key} has its channels first; they are last in LeRobot")
    if not image.is_exact:
        changes.append(f"{image.key} is rounded to 8 bits")
    if is_video:
        changes.append(
            f"{image.key} is compressed as a video, which changes pixels a little; `images` exact keeps them"
        )
    if is_video and image.shape[-1] == 1:
        changes.append(f"{image.key} has one channel; a video has three, which are equal then")
    if is_video and image.shape[-1] == 4:
        changes.append(f"{image.key} has four channels; the last one is not kept in a video")
    return changes

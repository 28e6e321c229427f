"""Episodes out of a data set, one after the other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from robolearn.data.checks import image_problem
from robolearn.errors import UserError
from robolearn.formats.format import TASK
from robolearn.formats.kept import KeptVideos
from robolearn.formats.lerobot.clips import ClipReader, Clips
from robolearn.formats.lerobot.facts import Tasks
from robolearn.formats.lerobot.info import Info
from robolearn.formats.lerobot.keys import NEXT_SUCCESS, TASK_INDEX, TIMES, Keys
from robolearn.formats.lerobot.pictures import decode_pictures
from robolearn.formats.lerobot.tables import RowReader, Tables, to_array
from robolearn.images import MIN_PICTURE
from robolearn.types import Array, Episode, Scalar


@dataclass(frozen=True)
class EpisodeReader:
    """Reads what was chosen of a data set.

    Attributes:
        root: Its folder.
        info: What it says of itself.
        tables: Where the rows are.
        keys: Which columns and cameras are read; of the cameras those that were chosen.
        clips: Where the frames are.
        tasks: The texts.
        numbers: Name -> number of an episode -> a fact of it.
        period: Between two steps [s]; None where it is not known.
        image_size: Height and width in pixels that images are scaled to; None for their own.
        kept: Key -> videos that are kept as they are; the others are decoded.
    """

    root: Path
    info: Info
    tables: Tables
    keys: Keys
    clips: Clips
    tasks: Tasks
    numbers: Mapping[str, Mapping[int, Scalar]]
    period: float | None
    image_size: tuple[int, int] | None
    kept: Mapping[str, KeptVideos]

    def read(self, numbers: Sequence[int]) -> Iterator[Episode]:
        """The episodes of these numbers, each read when it is asked for.

        Raises:
            UserError: A table or video is damaged, does not fit the others, or holds what is no number.
        """
        sizes: dict[str, tuple[int, ...]] = {}
        with ExitStack() as opened:
            rows = opened.enter_context(closing(RowReader(self.keys.columns)))
            cameras = {camera: opened.enter_context(closing(self._clip_reader(camera))) for camera in self.keys.videos}
            for number in numbers:
                table = rows.read(self.tables.episodes[number])
                episode = self._episode(number, table, self._images(number, table, cameras))
                _check_sizes(self.root, number, episode, sizes)
                yield episode

    def _clip_reader(self, camera: str) -> ClipReader:
        return ClipReader(camera, self.info.features[camera].channels, self.image_size, self.period)

    def _images(self, number: int, table: pa.Table, cameras: Mapping[str, ClipReader]) -> dict[str, Array]:
        """Key -> images [time, h, w, c], or the places [time, 2] of those that are kept in videos."""
        where = f"{self.tables.episodes[number][0].path}: episode {number}"
        images = {
            key: decode_pictures(table[column], self.root, self.image_size, f"{where}, {column}")
            for column, key in self.keys.pictures.items()
        }
        for camera, reader in cameras.items():
            segment = self.clips.find(camera, number)
            assert segment is not None, "episodes without their videos are not asked for"
            times = to_array(table[TIMES], f"{where}, {TIMES}").reshape(-1) if TIMES in self.keys.facts else None
            video, wanted = reader.find(segment, times, table.num_rows, number)
            key = self.keys.videos[camera]
            images[key] = self.kept[key].add(video, wanted, where) if key in self.kept else video.frames(wanted)
        return images

    def _episode(self, number: int, table: pa.Table, images: dict[str, Array]) -> Episode:
        parts = self.tables.episodes[number]
        rows = {
            column: self._numbers(column, table, f"{parts[0].path}: episode {number}, {column}")
            for column in (self.keys.action, *self.keys.numbers)
        }
        actions = rows.pop(self.keys.action)
        obs = {self.keys.numbers[column]: array for column, array in rows.items()}
        facts: dict[str, Scalar] = {name: values[number] for name, values in self.numbers.items()}
        if NEXT_SUCCESS in self.keys.facts:
            facts["success"] = bool(to_array(table[NEXT_SUCCESS], NEXT_SUCCESS).any())
        if self.tasks.texts:
            known = TASK_INDEX in self.keys.facts
            index = to_array(table[TASK_INDEX].slice(0, 1), f"{parts[0].path}: {TASK_INDEX}").item() if known else None
            facts[TASK] = self.tasks.number(number, index)
        return Episode({**obs, **images}, actions.reshape(len(actions), -1), facts)

    def _numbers(self, column: str, table: pa.Table, where: str) -> Array:
        """A column as [time, ...]: as info.json shapes it; what a store cannot hold as [time, d]."""
        array = to_array(table[column], where).astype(self.keys.dtypes[column], copy=False)
        shape = self.info.features[column].shape if column in self.info.features else ()
        if math.prod(shape) == math.prod(array.shape[1:]):
            array = array.reshape(len(array), *shape)
        shape = array.shape[1:]
        is_small = len(shape) == 3 and sorted(shape)[1] < MIN_PICTURE  # rotation matrices, say
        if array.ndim == 1 or is_small or image_problem(column, shape):
            array = array.reshape(len(array), -1)
        return array


def _check_sizes(root: Path, number: int, episode: Episode, sizes: dict[str, tuple[int, ...]]) -> None:
    """Raise a UserError unless an episode has the shapes of those before."""
    for key, array in {**episode.obs, "action": episode.actions}.items():
        size = sizes.setdefault(key, array.shape[1:])
        if array.shape[1:] != size:
            mend = "give `image_size`" if array.ndim == 4 else "mend it, or remove the episode"
            raise UserError(
                f"{root}: episode {number}: {key} has steps of shape {array.shape[1:]}, those before of {size}; {mend}"
            )

"""A camera of a store that lies in videos: which files they are, and frames out of them, in any order.

    data/<key>                [time, 2]   number of a file, and of the frame in it
    video/<key>/files.json                height, width and channels of an image; size, hash and frames of each file
    video/<key>/000000.mp4 ...            as they were recorded

Files are weighed when a store is opened and hashed when it is trained on, so that one that is missing, cut off or
changed is known before anything has begun.
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from robolearn.config import from_json, parse_json
from robolearn.data.container import Container
from robolearn.errors import UserError
from robolearn.images import CHANNELS, MIN_SIDE

if TYPE_CHECKING:  # PyAV is imported with the first video that is opened, as most stores have none
    from robolearn.data.video import Video, VideoIndex

FILES = "files.json"
MAX_FILES_JSON = 64 << 20
MAX_SIDE = 1 << 14  # [pixels]
OPEN_VIDEOS = 128  # at once


@dataclass(frozen=True)
class VideoFile:
    """A video in a store.

    Attributes:
        name: Of the file.
        size: [bytes].
        sha256: Of its content.
        num_frames: That it shows.
    """

    name: str
    size: int
    sha256: str
    num_frames: int


@dataclass(frozen=True)
class VideoFiles:
    """What a store says of a camera's videos.

    Attributes:
        height: Of an image in pixels, to which frames are scaled that are larger or smaller.
        width: The same.
        channels: 1, 3 or 4.
        files: By their numbers.
    """

    height: int
    width: int
    channels: int
    files: tuple[VideoFile, ...]

    def __post_init__(self) -> None:
        if self.channels not in CHANNELS or not all(MIN_SIDE <= n <= MAX_SIDE for n in (self.height, self.width)):
            raise UserError(f"images of {self.height} x {self.width} x {self.channels} are none")
        for file in self.files:
            if os.path.basename(file.name) != file.name or file.name in ("", ".", ".."):
                raise UserError(f"{file.name!r} is no name of a file")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an image, [h, w, c]."""
        return self.height, self.width, self.channels


class StoredVideos:
    """The videos of one key.

    Args:
        container: The store's files.
        key: Which.

    Attributes:
        facts: What the store says of them.
        paths: Where they are, by their numbers.
        reader: Decodes them.

    Raises:
        UserError: The store is a zip, or what it says of them is damaged.
    """

    def __init__(self, container: Container, key: str) -> None:
        folder = f"video/{key}"
        content = container.read(f"{folder}/{FILES}", MAX_FILES_JSON)
        if content is None:
            raise UserError(f"{folder}/{FILES} is missing")
        self.facts = from_json(VideoFiles, parse_json(content, f"{folder}/{FILES}"), {}, f"{folder}/{FILES}")
        self.names = [f"{folder}/{file.name}" for file in self.facts.files]
        self.paths = [container.locate(name) for name in self.names]
        self.reader = VideoReader(self.paths, self.facts.shape)
        self._intact: set[int] = set()

    def misplaced(self, places: np.ndarray) -> str | None:
        """Say why these are no places [n, 2] of frames; None if they are."""
        if places.ndim != 2 or places.shape[1] != 2 or places.dtype != np.int64:
            return f"has shape {places.shape} and type {places.dtype}, expected [time, 2] int64"
        counts = np.array([file.num_frames for file in self.facts.files] or [0])
        number, frame = places.T
        known = (number >= 0) & (number < len(self.facts.files))
        wrong = ~known | (frame < 0) | (frame >= counts[np.where(known, number, 0)])
        if not wrong.any():
            return None
        row = int(np.flatnonzero(wrong)[0])
        return f"names frame {frame[row]} of video {number[row]} in row {row}; there is none"

    def lack(self) -> tuple[int, str] | None:
        """The first file that is not there as it was kept: its number, and what is wrong; its content is not read."""
        for number, (file, path) in enumerate(zip(self.facts.files, self.paths, strict=True)):
            size = path.stat().st_size if path.is_file() else None
            if size != file.size:
                return (
                    number,
                    "is missing" if size is None else f"has {size} bytes, not {file.size} as when it was kept",
                )
        return None

    def changed(self, numbers: Sequence[int]) -> int | None:
        """The first of these files whose content is not what was kept; each is read once."""
        for number in numbers:
            if number not in self._intact and file_hash(self.paths[number]) != self.facts.files[number].sha256:
                return number
            self._intact.add(number)
        return None

    def digest(self, places: np.ndarray) -> str:
        """Hash of what is shown at these places [n, 2], whatever files are called and however they are numbered."""
        digest = hashlib.sha256(f"{self.facts.shape}".encode())
        edges = [0, *(np.flatnonzero(np.diff(places[:, 0])) + 1).tolist(), len(places)]
        for start, stop in pairwise(edges):
            digest.update(self.facts.files[int(places[start, 0])].sha256.encode())
            digest.update(np.ascontiguousarray(places[start:stop, 1], dtype="<i8").data)
        return digest.hexdigest()


class VideoReader:
    """Decodes frames of several videos, a thread per video.

    Args:
        paths: Of the videos, by their numbers.
        shape: Of the images [h, w, c], to which frames are scaled.
    """

    def __init__(self, paths: Sequence[Path], shape: tuple[int, int, int]) -> None:
        self.paths, self.shape = tuple(paths), shape
        self._open: OrderedDict[int, Video] = OrderedDict()
        self._indices: dict[int, VideoIndex] = {}
        self._threads = ThreadPoolExecutor(len(os.sched_getaffinity(0)), "video")

    def read(self, places: np.ndarray) -> np.ndarray:
        """Decode images uint8 [n, h, w, c]; those of a video in the order in which they are shown, and each once.

        Args:
            places: Number of a video, and of the frame in it, int64 [n, 2], in any order and with repetition.

        Raises:
            UserError: A video is damaged.
        """
        out = np.empty((len(places), *self.shape), np.uint8)
        numbers, rank = np.unique(places[:, 0], return_inverse=True)
        order = np.argsort(rank, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(rank[order])) + 1) if len(order) else []
        while len(groups):
            some, groups = groups[:OPEN_VIDEOS], groups[OPEN_VIDEOS:]
            here, numbers = numbers[:OPEN_VIDEOS].tolist(), numbers[OPEN_VIDEOS:]
            self._make_room(here)
            list(self._threads.map(lambda number, rows: self._fill(out, number, rows, places[rows, 1]), here, some))
        return out

    def _make_room(self, wanted: Sequence[int]) -> None:
        """Close what was not used for longest, so that not too many are open with these."""
        for number in wanted:
            if number in self._open:
                self._open.move_to_end(number)
        spare = len(self._open.keys() | set(wanted)) - OPEN_VIDEOS
        for _ in range(spare):
            self._open.popitem(last=False)[1].close()

    def _fill(self, out: np.ndarray, number: int, rows: np.ndarray, frames: np.ndarray) -> None:
        distinct, back = np.unique(frames, return_inverse=True)
        out[rows] = self._video(number).frames(distinct)[back]

    def _video(self, number: int) -> Video:
        """A video, opened; by one thread at a time, since each has videos of its own."""
        from robolearn.data.video import Video, damaged

        if number not in self._open:
            height, width, channels = self.shape
            path, index = self.paths[number], self._indices.get(number)
            video = Video(path, channels, (height, width), threads=1, index=index)
            if video.dtype != np.uint8:
                video.close()
                raise damaged(path, "depth of more than 8 bits")
            self._open[number], self._indices[number] = video, video.index
        return self._open[number]


def file_hash(path: Path) -> str:
    """sha256 of a file's content; nothing it is of where there is no file."""
    if not path.is_file():
        return ""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

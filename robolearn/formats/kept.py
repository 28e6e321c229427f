"""Videos on their way into a store as they are: each is decoded once, to know that it can be, and then linked."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from robolearn.data.attrs import VIDEO_VERSION
from robolearn.data.video import Video
from robolearn.data.videos import FILES, VideoFile, VideoFiles, file_hash
from robolearn.data.writer import DemoWriter
from robolearn.errors import UserError
from robolearn.types import Array


class KeptVideos:
    """The videos of one camera, gathered episode by episode."""

    def __init__(self) -> None:
        self._shape: tuple[int, ...] = ()
        self._files: dict[Path, tuple[int, int]] = {}  # number, and frames that it shows

    def add(self, video: Video, wanted: Array, where: str) -> Array:
        """Take the frames of an episode.

        Args:
            video: That shows them.
            wanted: Which [t], increasing.
            where: The episode, for messages.

        Returns:
            Their places for a store: number of the video and of the frame, int64 [t, 2].

        Raises:
            UserError: A frame cannot be decoded, is depth, or has another size than those before.
        """
        if video.dtype != np.uint8:
            raise UserError(f"{where}: depth of more than 8 bits cannot be kept; leave out `video`, or the camera")
        self._shape = self._shape or video.shape
        if video.shape != self._shape:
            raise UserError(f"{where}: {video.path} shows {video.shape}, those before {self._shape}; give `image_size`")
        try:
            video.check(wanted)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        number, _ = self._files.setdefault(video.path, (len(self._files), len(video.times)))
        return np.stack([np.full(len(wanted), number), wanted], axis=1).astype(np.int64)

    def write(self, folder: Path) -> None:
        """Put the videos and what is said of them into a folder, linked where the disk can and else copied."""
        folder.mkdir(parents=True)
        files = []
        for path, (number, count) in self._files.items():
            target = folder / f"{number:06d}{path.suffix}"
            real = os.path.realpath(path)
            try:
                os.link(real, target)
            except OSError:  # another disk, or one without links
                shutil.copyfile(real, target)
            files.append(VideoFile(target.name, target.stat().st_size, file_hash(target), count))
        height, width, channels = self._shape
        (folder / FILES).write_text(
            json.dumps(asdict(VideoFiles(height, width, channels, tuple(files))), indent=1), encoding="utf-8"
        )


def keep_videos(store: DemoWriter, videos: Mapping[str, KeptVideos]) -> None:
    """Put videos beside the places of their frames, and say in the store that they are places.

    Args:
        store: All episodes are in it.
        videos: Key -> videos.
    """
    for key, kept in videos.items():
        kept.write(store.path / "video" / key)
    if videos:
        store.restate(replace(store.attrs, schema_version=VIDEO_VERSION, videos=tuple(videos)))

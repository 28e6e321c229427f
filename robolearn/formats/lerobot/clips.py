"""Where the frames of an episode are: which file, and from when to when; read one episode after the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robolearn.data.video import Video
from robolearn.errors import UserError
from robolearn.formats.lerobot.episodes import Said
from robolearn.formats.lerobot.files import match_files
from robolearn.formats.lerobot.info import Info
from robolearn.formats.pointers import is_pointer

VIDEOS = (
    "videos/chunk-{episode_chunk}/{video_key}/episode_{episode_index}.mp4",
    "videos/{video_key}/chunk-{chunk_index}/file-{file_index}.mp4",
    "videos/{video_key}/episode_{episode_index}.mp4",
    "videos/{video_key}_episode_{episode_index}.mp4",
)


@dataclass(frozen=True)
class Segment:
    """Where the frames of an episode are.

    Attributes:
        path: The file.
        start: [s] in the file.
        stop: [s], exclusive; infinity where the file holds this episode alone.
    """

    path: Path
    start: float = 0.0
    stop: float = np.inf


class Clips:
    """The videos of a data set.

    Args:
        root: Its folder.
        names: Its files.
        info: What it says of itself.
        said: What is said of each episode.
    """

    def __init__(self, root: Path, names: Sequence[str], info: Info, said: dict[int, Said]) -> None:
        self._root, self._said = root, said
        self._single: dict[tuple[str, int], Path] = {}
        self._joint: dict[tuple[str, int, int], Path] = {}
        for name, fields in match_files(names, [info.video_path or "", *VIDEOS]):
            camera = fields.get("video_key", "")
            if "episode_index" in fields:
                self._single[camera, int(fields["episode_index"])] = root / name
            elif "file_index" in fields:
                self._joint[camera, int(fields.get("chunk_index", 0)), int(fields["file_index"])] = root / name

    def find(self, camera: str, episode: int) -> Segment | None:
        """Where an episode's frames are; None where there is no such file, or a pointer of Git LFS in place of it."""
        path = self._single.get((camera, episode))
        clip = self._said[episode].clips.get(camera) if episode in self._said else None
        if path is not None:
            segment = Segment(path)
        elif clip is not None and (camera, clip.chunk, clip.file) in self._joint:
            segment = Segment(self._joint[camera, clip.chunk, clip.file], clip.start, clip.stop)
        else:
            return None
        return None if is_pointer(segment.path) else segment

    @property
    def has_pointers(self) -> bool:
        """Whether git keeps pointers in place of videos."""
        return any(is_pointer(path) for path in (*self._single.values(), *self._joint.values()))

    def check_known(self, cameras: Iterable[str], episodes: Iterable[int]) -> None:
        """Raise a UserError if videos hold several episodes and nothing says where each begins."""
        episodes = list(episodes)
        for camera in cameras:
            joint = any(name == camera for name, *_ in self._joint)
            unsaid = [n for n in episodes if n not in self._said or camera not in self._said[n].clips]
            if joint and unsaid:
                raise UserError(
                    f"{self._root}: meta/episodes does not say where in the videos of {camera} episode {unsaid[0]} is; "
                    "download meta/episodes, or leave the camera out by `cameras`"
                )


class ClipReader:
    """Reads the frames of one camera, episode by episode; a file that holds several stays open.

    Args:
        camera: Its name in the data set.
        channels: Of its images.
        size: Height and width in pixels that frames are scaled to; None for their own.
        period: Between two steps [s]; None where it is not known.
    """

    def __init__(self, camera: str, channels: int, size: tuple[int, int] | None, period: float | None) -> None:
        self._camera, self._channels, self._size, self._period = camera, channels, size, period
        self._video: Video | None = None

    def find(self, segment: Segment, times: np.ndarray | None, steps: int, episode: int) -> tuple[Video, np.ndarray]:
        """The video of an episode, and which of its frames are those of the steps [t].

        Frames are found by the times of the steps. Where those fit no frames, as when recording began late, an episode
        that has as many frames as steps has them in their order.

        Args:
            segment: Where they are.
            times: Of the steps, from the beginning of the episode [t] in s; None where they are not recorded.
            steps: Their number t.
            episode: Its number, for messages.

        Raises:
            UserError: The file is damaged, or steps and frames do not belong together.
        """
        if self._video is None or self._video.path != segment.path:
            self.close()
            self._video = Video(segment.path, self._channels, self._size)
        shown, wanted, slack = self._video.times, None, 0.0
        if times is not None and self._period is not None:
            slack = self._period / 2
            wanted = match_frames(shown, segment.start + times, self._period)
        if wanted is None:
            wanted = np.flatnonzero((shown >= segment.start - slack) & (shown < segment.stop - slack))
            if len(wanted) != steps:
                raise UserError(
                    f"{segment.path}: episode {episode} has {steps} steps, and {len(wanted)} frames of {self._camera} "
                    "at other times; leave the camera out by `cameras`, or remove this video to leave the episode out"
                )
        return self._video, wanted

    def close(self) -> None:
        """Close the file that is open."""
        if self._video is not None:
            self._video.close()
        self._video = None


def match_frames(times: np.ndarray, wanted: np.ndarray, period: float) -> np.ndarray | None:
    """Which frame is shown at each step; None where one has no frame of its own.

    A frame is a step's if it is the nearest and less than half a period away.

    Args:
        times: Of the frames, increasing [f] in s.
        wanted: Of the steps [t] in s.
        period: Between two steps [s].
    """
    if len(times) == 0:
        return None
    right = np.searchsorted(times, wanted).clip(1, max(1, len(times) - 1))
    left = right - 1
    right = right.clip(max=len(times) - 1)
    nearest = np.where(np.abs(times[left] - wanted) <= np.abs(times[right] - wanted), left, right)
    fits = np.abs(times[nearest] - wanted) < 0.5 * period
    return nearest if fits.all() and (np.diff(nearest) > 0).all() else None

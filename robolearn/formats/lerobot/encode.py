"""Videos that hold several episodes, a file until it is full."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from robolearn.types import Array

CODEC = "libx264"  # decoded by every reader of LeRobot, and on every device
OPTIONS = {"crf": "18", "g": "2"}  # a key frame at every other frame: any frame is found by decoding two
MAX_FILES = 1000  # of a folder


@dataclass
class Numbered:
    """Numbers of a folder and a file in it."""

    chunk: int = 0
    file: int = 0

    def advance(self) -> None:
        """Go on to the next file."""
        self.chunk, self.file = (self.chunk + 1, 0) if self.file == MAX_FILES - 1 else (self.chunk, self.file + 1)


class VideoWriter:
    """Writes the frames of one camera.

    Args:
        folder: Where the numbered folders go.
        fps: Steps per second.
        max_bytes: A file that would grow beyond is ended before the next episode.
    """

    def __init__(self, folder: Path, fps: int | float, max_bytes: int) -> None:
        self._folder, self._max = folder, max_bytes
        rate = Fraction(fps)
        self._rate = rate.limit_denominator(1000) if rate >= 1 else 1 / (1 / rate).limit_denominator(1000)
        self._at = Numbered()
        self._frames = self._episodes = self._bytes = 0

    def append(self, images: Array) -> dict[str, int | float]:
        """Encode the images uint8 [time, h, w, 3] of an episode, and say where they are."""
        if self._episodes and self._is_full():
            self.close()
            self._at.advance()
        if not self._episodes:
            self._open(images.shape[1], images.shape[2])
        begin = self._frames
        for image in images:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = self._frames, 1 / self._rate
            self._mux(frame)
            self._frames += 1
        self._episodes += 1
        period = float(1 / self._rate)
        return {
            "chunk_index": self._at.chunk,
            "file_index": self._at.file,
            "from_timestamp": begin * period,
            "to_timestamp": self._frames * period,
        }

    def close(self) -> None:
        """End the file."""
        if self._episodes:
            self._mux(None)
            self._container.close()
        self._frames = self._episodes = self._bytes = 0

    @property
    def facts(self) -> dict[str, Any]:
        """What info.json says of the videos of this camera."""
        return self._facts

    def _open(self, height: int, width: int) -> None:
        path = self._folder / f"chunk-{self._at.chunk:03d}" / f"file-{self._at.file:03d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._container = av.open(str(path), "w", format="mp4")
        self._stream = self._container.add_stream(CODEC, rate=self._rate, options=OPTIONS)
        self._stream.height, self._stream.width = height, width
        # Half the resolution of colors needs an even number of pixels.
        self._stream.pix_fmt = "yuv444p" if height % 2 or width % 2 else "yuv420p"
        self._facts = {
            "video.height": height,
            "video.width": width,
            "video.codec": "h264",
            "video.pix_fmt": self._stream.pix_fmt,
            "video.is_depth_map": False,
            "video.fps": float(self._rate) if self._rate.denominator > 1 else int(self._rate),
            "video.channels": 3,
            "has_audio": False,
        }

    def _mux(self, frame: av.VideoFrame | None) -> None:
        for packet in self._stream.encode(frame):
            self._bytes += packet.size
            self._container.mux(packet)

    def _is_full(self) -> bool:
        return self._bytes + self._bytes / self._episodes >= self._max

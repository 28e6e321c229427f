"""Frames out of a video, in any order and bit for bit those that decoding all of it gives.

A frame is decoded from the last key frame on that is shown no later. Where key frames are is read once, which needs no
decoding:

    shown    0 1 2 3 4 5 6 7 8 9        wanted 2 3 6: from 0 on up to 3, from 4 on up to 6
    key      *       *       *
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from robolearn.errors import UserError

FORMATS = {1: "gray", 3: "rgb24", 4: "rgba"}  # by the number of channels
# Of strangers' files nothing else is opened: a playlist that is called a video names files and addresses of its own.
OPTIONS = {
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,h264,hevc,ivf",
    "protocol_whitelist": "file",
}
SEEK_FRAMES = 1  # decoding on is taken for as quick as a seek where it decodes so many frames more


@dataclass(frozen=True)
class VideoIndex:
    """When the frames of a video are shown, and where decoding can begin.

    Attributes:
        pts: Time of each frame in order, in the stream's unit [f].
        keys: Place in `pts` of each key frame, increasing [k].
        seeks: Time that leads to each key frame [k].
    """

    pts: np.ndarray
    keys: np.ndarray
    seeks: np.ndarray

    def runs(self, wanted: np.ndarray) -> Iterator[tuple[slice, int]]:
        """Which of the wanted frames are decoded in one go, and the key frame from which on.

        Args:
            wanted: Places in `pts`, increasing [f], at least one.
        """
        key = np.searchsorted(self.keys, wanted, side="right").clip(1) - 1
        apart = np.flatnonzero(self.keys[key[1:]] > wanted[:-1] + 1 + SEEK_FRAMES) + 1
        for start, stop in pairwise([0, *apart.tolist(), len(wanted)]):
            yield slice(start, stop), int(key[start])


class Video:
    """An open video.

    Args:
        path: Any codec that PyAV decodes; lerobot writes AV1, H.264 and HEVC in mp4.
        channels: Of the images: 1, 3 or 4. One of more than 8 bits, as depth has, is uint16 and as it was encoded.
        size: Height and width in pixels that frames are scaled to; None for their own.
        threads: That decode it; 0 for as many as the decoder likes, which is quick for long runs alone.
        index: What `index` was when it was open before; by default read.

    Attributes:
        index: When frames are shown.
        times: The same [s].
        shape: Of a frame, [h, w, c].
        dtype: Of its numbers.

    Raises:
        UserError: There is no video in it, or a damaged one.
    """

    def __init__(
        self,
        path: Path,
        channels: int,
        size: tuple[int, int] | None,
        threads: int = 0,
        index: VideoIndex | None = None,
    ) -> None:
        self.path = path
        try:
            self._container = av.open(str(path), options=OPTIONS)
        except (av.FFmpegError, OSError) as error:
            raise damaged(path, error) from error
        try:
            if not self._container.streams.video:
                raise damaged(path, "no frames")
            self._stream = self._container.streams.video[0]
            self._stream.thread_type = "AUTO"
            self._stream.codec_context.thread_count = threads
            self.index = index or self._read_index()
        except (av.FFmpegError, OSError) as error:
            self.close()
            raise damaged(path, error) from error
        except UserError:
            self.close()
            raise
        self.times = self.index.pts * float(self._stream.time_base or 1)
        self.shape = (*(size or (self._stream.height, self._stream.width)), channels)
        deep = channels == 1 and self._stream.format.components[0].bits > 8
        self._format = self._stream.format.name if deep else FORMATS[channels]
        self.dtype = np.dtype(np.uint16 if deep else np.uint8)
        self._reformatter = VideoReformatter()

    def _read_index(self) -> VideoIndex:
        packets = [p for p in self._container.demux(self._stream) if p.pts is not None and not p.is_discard]
        if not packets or self._stream.time_base is None:
            raise damaged(self.path, "no frames")
        pts = np.sort(np.array([packet.pts for packet in packets], np.int64))
        keys = sorted(
            (p.pts, p.pts if p.dts is None else p.dts) for p in packets if p.is_keyframe and p.pts is not None
        )
        shown, seeks = np.array(keys or [(pts[0], pts[0])], np.int64).T
        return VideoIndex(pts, np.searchsorted(pts, shown), seeks)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def frames(self, wanted: np.ndarray) -> np.ndarray:
        """Decode frames [f, h, w, c].

        Args:
            wanted: Their places in `times`, increasing [f].

        Raises:
            UserError: One cannot be decoded.
        """
        out = np.empty((len(wanted), *self.shape), self.dtype)
        with self._reading():
            for position, frame in self._decoded(wanted):
                out[position] = self._picture(frame)
        return out

    def check(self, wanted: np.ndarray) -> None:
        """Decode frames and look at none of them.

        Raises:
            UserError: As `frames`, or the decoder had to guess a part of one.
        """
        with self._reading():
            for position, frame in self._decoded(wanted):
                if frame.is_corrupt:
                    raise damaged(self.path, f"the frame at {self.times[wanted[position]]:.3f} s is incomplete")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            raise damaged(self.path, error) from error

    def _decoded(self, wanted: np.ndarray) -> Iterator[tuple[int, av.VideoFrame]]:
        """Yield places in `wanted`, in order, and their frames."""
        if len(wanted) and wanted[-1] >= len(self.index.pts):
            raise damaged(self.path, f"it has {len(self.index.pts)} frames, {wanted[-1] + 1} are needed")
        for run, key in self.index.runs(wanted) if len(wanted) else ():
            pts, done = self.index.pts[wanted[run]], 0
            # A seek may lead to what decoding cannot begin with; from the beginning it can.
            for begin in dict.fromkeys((key, 0)):
                for frame in self._shown(pts[done:], begin):
                    yield run.start + done, frame
                    done += 1
                if done == len(pts):
                    break
            else:
                missed = self.times[wanted[run.start + done]]
                raise damaged(self.path, f"the frame at {missed:.3f} s cannot be decoded")

    def _shown(self, pts: np.ndarray, key: int) -> Iterator[av.VideoFrame]:
        """The frames of these times, until one is missed."""
        done = 0
        for frame in self._decode_from(key):
            if frame.pts is None or frame.pts < pts[done]:
                continue
            if frame.pts > pts[done]:
                return
            yield frame
            done += 1
            if done == len(pts):
                return

    def _decode_from(self, key: int) -> Iterator[av.VideoFrame]:
        """Frames from a key frame on; from one before where the container's own index leads beyond it."""
        while True:
            self._container.seek(int(self.index.seeks[key]), stream=self._stream, any_frame=False)
            packets = self._container.demux(self._stream)
            first = next(packets)
            if key == 0 or (first.dts is not None and first.dts <= self.index.seeks[key]):
                break
            key -= 1
        for packet in chain([first], packets):
            yield from packet.decode()

    def _picture(self, frame: av.VideoFrame) -> np.ndarray:
        height, width, channels = self.shape
        same = (height, width) == (frame.height, frame.width)
        made = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format=self._format,
            interpolation=None if same else self._interpolation(frame.height),
        )
        plane: Any = made.planes[0]
        lines = np.frombuffer(plane, self.dtype).reshape(height, plane.line_size // self.dtype.itemsize)
        return lines[:, : width * channels].reshape(self.shape)

    def _interpolation(self, height: int) -> Interpolation:
        """Colors are averaged; depth takes the nearest pixel, since between two surfaces there is none."""
        if self.dtype == np.uint16:
            return Interpolation.POINT
        return Interpolation.AREA if self.shape[0] < height else Interpolation.BILINEAR


def damaged(path: Path, error: Any) -> UserError:
    """What to tell a user of a video that cannot be read."""
    size = path.stat().st_size if path.is_file() else 0
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return UserError(f"{path} is no video, or a damaged one ({size} bytes: {reason}); download it again")

"""Frames out of videos, decoded one after the other and found by their times.

A video may hold one episode or several. Times are read first, which needs no decoding; so it is known which frames are
wanted, and that all are there, before the first is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from robolearn.formats.lerobot.files import damage

FORMATS = {1: "gray", 3: "rgb24", 4: "rgba"}  # by the number of channels


class Video:
    """An open video.

    Args:
        path: Any container and codec that PyAV decodes; lerobot writes AV1, H.264 and HEVC in mp4.
        channels: Of the images: 1, 3 or 4. One of more than 8 bits, as depth has, is uint16 and as it was encoded.
        size: Height and width in pixels that frames are scaled to; None for their own.

    Attributes:
        times: When each frame is shown, in order [s].

    Raises:
        UserError: There is no video in it, or a damaged one.
    """

    def __init__(self, path: Path, channels: int, size: tuple[int, int] | None) -> None:
        self.path = path
        try:
            self._container = av.open(str(path))
        except (av.FFmpegError, OSError) as error:
            raise damage(path, "video", error) from error
        if not self._container.streams.video:
            self.close()
            raise damage(path, "video", "no frames")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        try:
            shown = (packet for packet in self._container.demux(self._stream) if not packet.is_discard)
            pts = sorted(packet.pts for packet in shown if packet.pts is not None)
        except (av.FFmpegError, OSError) as error:
            self.close()
            raise damage(path, "video", error) from error
        if not pts or self._stream.time_base is None:
            self.close()
            raise damage(path, "video", "no frames")
        self._pts = np.array(pts, np.int64)
        self.times = self._pts * float(self._stream.time_base)
        self._height, self._width = size or (self._stream.height, self._stream.width)
        deep = channels == 1 and self._stream.format.components[0].bits > 8
        self._format = self._stream.format.name if deep else FORMATS[channels]
        self._channels, self._dtype = channels, np.dtype(np.uint16 if deep else np.uint8)
        self._reformatter = VideoReformatter()

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
        out = np.empty((len(wanted), self._height, self._width, self._channels), self._dtype)
        pts = self._pts[wanted]
        try:
            done = self._fill(out, pts, self._decode(int(pts[0])))
            if done < len(pts):  # the seek led beyond the first: from the beginning then
                done = self._fill(out, pts, self._decode(None))
        except (av.FFmpegError, OSError) as error:
            raise damage(self.path, "video", error) from error
        if done < len(pts):
            raise damage(self.path, "video", f"the frame at {self.times[wanted[done]]:.3f} s cannot be decoded")
        return out

    def _decode(self, pts: int | None) -> Iterator[av.VideoFrame]:
        """Frames from the last one on that decoding can begin with before `pts`."""
        self._container.seek(pts if pts is not None else int(self._pts[0]), stream=self._stream, any_frame=False)
        yield from self._container.decode(self._stream)

    def _fill(self, out: np.ndarray, pts: np.ndarray, frames: Iterator[av.VideoFrame]) -> int:
        """Put the frames of these times into `out`, and return how many were found before one was missed."""
        done = 0
        for frame in frames:
            if frame.pts is None or frame.pts < pts[done]:
                continue
            if frame.pts > pts[done]:
                return done
            out[done] = self._picture(frame)
            done += 1
            if done == len(pts):
                break
        return done

    def _picture(self, frame: av.VideoFrame) -> np.ndarray:
        same = (self._height, self._width) == (frame.height, frame.width)
        made = self._reformatter.reformat(
            frame,
            width=self._width,
            height=self._height,
            format=self._format,
            interpolation=None if same else self._interpolation(frame.height),
        )
        plane: Any = made.planes[0]
        row = self._width * self._channels
        lines = np.frombuffer(plane, self._dtype).reshape(self._height, plane.line_size // self._dtype.itemsize)
        return lines[:, :row].reshape(self._height, self._width, self._channels)

    def _interpolation(self, height: int) -> Interpolation:
        """Colors are averaged; depth takes the nearest pixel, since between two surfaces there is none."""
        if self._dtype == np.uint16:
            return Interpolation.POINT
        return Interpolation.AREA if self._height < height else Interpolation.BILINEAR


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

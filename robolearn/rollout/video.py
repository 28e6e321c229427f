"""Write frames as an mp4 that every browser plays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from jaxtyping import UInt8

from robolearn.errors import UserError
from robolearn.files import replacing


def write_mp4(path: str | Path, frames: Iterable[UInt8[np.ndarray, "h w 3"]], fps: float) -> None:
    """Encode frames as H.264, yuv420p; the file appears complete or not at all.

    Args:
        path: Where to write; an existing file is replaced.
        frames: RGB, an array [f, h, w, 3] or an iterator, which is never held in memory as a whole. An odd
            height or width is padded with the last row or column, as yuv420p halves the color resolution.
        fps: Frames per second.

    Raises:
        UserError: Without frames, for fps <= 0, or for a frame of another size or type than the first.
    """
    path = Path(path)
    if not fps > 0:
        raise UserError(f"{path}: fps must be positive, got {fps}")
    stream = iter(frames)
    first = next(stream, None)
    if first is None:
        raise UserError(f"{path}: a video needs at least one frame, got none")
    with replacing(path) as part:
        _encode(part, _checked(path, chain([first], stream), first.shape), first.shape, fps)


def _checked(path: Path, frames: Iterable[np.ndarray], shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    for index, frame in enumerate(frames):
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.shape != shape:
            wanted = f"uint8 [{shape[0]}, {shape[1]}, 3]"
            raise UserError(f"{path}: frame {index} is {frame.dtype} {list(frame.shape)}, expected {wanted}")
        yield frame


def _encode(part: Path, frames: Iterator[np.ndarray], shape: tuple[int, ...], fps: float) -> None:
    height, width = shape[:2]
    pad = ((0, height % 2), (0, width % 2), (0, 0))
    # faststart puts the index first, so that a player need not read to the end.
    with av.open(str(part), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.width, stream.height = width + pad[1][1], height + pad[0][1]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "23"}
        for frame in frames:
            image = av.VideoFrame.from_ndarray(np.pad(frame, pad, mode="edge"), format="rgb24")
            container.mux(stream.encode(image))
        container.mux(stream.encode())

"""Encoded images in the tables: PNG or JPEG bytes, or paths of such files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from robolearn.errors import UserError
from robolearn.formats.frames import unpack
from robolearn.formats.images import resize


def decode_pictures(column: pa.ChunkedArray, root: Path, size: tuple[int, int] | None, where: str) -> np.ndarray:
    """Decode a column of images [time, h, w, c], uint8 or, where they have 16 bits, uint16.

    Args:
        column: Bytes, or bytes beside the path of a file in the data set.
        root: Folder of the data set.
        size: Height and width in pixels that they are scaled to; None for their own.
        where: What it is, for messages.

    Raises:
        UserError: One is missing, damaged or of another size than the first.
    """
    images: np.ndarray | None = None
    for step, entry in enumerate(column):
        image = _decode(entry.as_py(), root, size, f"{where}, step {step}")
        if images is None:
            images = np.empty((len(column), *image.shape), image.dtype)
        if image.shape != images.shape[1:] or image.dtype != images.dtype:
            raise UserError(
                f"{where}, step {step}: the image is {image.dtype} {list(image.shape)}, those before are "
                f"{images.dtype} {list(images.shape[1:])}; give `image_size`"
            )
        images[step] = image
    assert images is not None, "an episode has steps"
    return images


def _decode(entry: Any, root: Path, size: tuple[int, int] | None, where: str) -> np.ndarray:
    content, path = (entry.get("bytes"), entry.get("path")) if isinstance(entry, dict) else (entry, None)
    if content is None and path:
        content = _content(root, path, where)
    if content is None:
        raise UserError(f"{where}: there is no image; leave the camera out by `cameras`")
    return resize(unpack(content, where)[None], size)[0]


def _content(root: Path, path: str, where: str) -> bytes | None:
    """A file in the data set; whoever wrote the table may not ask for another one."""
    inside = os.path.realpath(root) + os.sep
    file = os.path.realpath(root / path)
    if not file.startswith(inside):
        raise UserError(
            f"{where}: the image's path {path} leads out of the data set; leave the camera out by `cameras`"
        )
    try:
        return Path(file).read_bytes()
    except OSError:
        return None

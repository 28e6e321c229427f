"""Images that stay in their videos and are decoded when a batch asks for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from robolearn.data.videos import StoredVideos, VideoReader


class StreamedImages:
    """Images uint8 [time, h, w, c] of one camera, of one store or several; threads may share them.

    The first images that are asked for stay in memory until it is full, and none gives way to a later one. Windows
    come in random order: of frames that are asked for once per pass, those that came last are asked for again last.

    Args:
        parts: Videos of each store, and the places in them of the images [n, 2].
        max_bytes: Of images that are kept in memory.

    Attributes:
        shape: Of all of them.
    """

    def __init__(self, parts: Sequence[tuple[StoredVideos, np.ndarray]], max_bytes: int) -> None:
        before = np.cumsum([0, *(len(videos.paths) for videos, _ in parts)])
        self._places = np.concatenate(
            [places + np.array([first, 0]) for first, (_, places) in zip(before[:-1], parts, strict=True)]
        )
        first = parts[0][0].facts.shape
        self._reader = VideoReader([path for videos, _ in parts for path in videos.paths], first)
        self.shape = (len(self._places), *first)
        room = min(len(self._places), max_bytes // math.prod(first))
        self._kept = np.empty((room, *first), np.uint8)  # memory is taken as it is filled
        self._slot, self._count = np.full(len(self._places), -1), 0
        self._lock = Lock()

    def __len__(self) -> int:
        return self.shape[0]

    def take(self, rows: Tensor) -> Tensor:
        """Images uint8 [n, h, w, c] of some rows, int64 [n] in any order and with repetition.

        Raises:
            UserError: A video is damaged.
        """
        distinct, back = np.unique(rows.numpy(force=True), return_inverse=True)
        images = np.empty((len(distinct), *self.shape[1:]), np.uint8)
        with self._lock:  # a video is decoded by one at a time
            slot = self._slot[distinct]
            there = slot >= 0
            images[there] = self._kept[slot[there]]
            images[~there] = decoded = self._reader.read(self._places[distinct[~there]])
            self._keep(distinct[~there], decoded)
        return torch.from_numpy(images).index_select(0, torch.from_numpy(back))

    def _keep(self, rows: np.ndarray, images: np.ndarray) -> None:
        count = min(len(rows), len(self._kept) - self._count)
        slots = np.arange(self._count, self._count + count)
        self._kept[slots], self._slot[rows[:count]] = images[:count], slots
        self._count += count

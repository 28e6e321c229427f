"""Batches of windows of which the next one is gathered while a step computes, where that takes a while."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import torch
from torch import Tensor

from robolearn.data.windows import Windows
from robolearn.types import Batch


class Ahead:
    """Windows whose next batch a thread gathers; one batch at most, and each the same as without.

    Recordings that are in memory are gathered when they are asked for: that takes less than handing them over.

        with Ahead(windows) as ahead:
            batch = ahead.batch(index)
            ahead.begin(following)  # decodes while the step computes
            ...

    Args:
        windows: Where the batches are from.

    Attributes:
        waits: Whether gathering takes a while, so that it begins ahead.
    """

    def __init__(self, windows: Windows):
        self.windows, self.waits = windows, not windows.resident
        self._thread = ThreadPoolExecutor(1, "ahead") if self.waits else None
        self._next: tuple[Tensor, Future[Batch]] | None = None

    def __len__(self) -> int:
        return len(self.windows)

    def __enter__(self) -> Ahead:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the thread, whatever it has begun; what goes wrong in it then concerns nobody any more."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)

    def begin(self, index: Tensor) -> None:
        """Gather the batch of these windows in the background, if that takes a while."""
        if self._thread is not None:
            index = index.cpu()  # here: in the thread it would wait for what the device computes meanwhile
            self._next = index, self._thread.submit(self.windows.batch, index)

    def batch(self, index: Tensor) -> Batch:
        """The batch of some windows; see `Windows.batch`. It takes what was begun if that is the same.

        Raises:
            UserError: A video is damaged.
        """
        begun, self._next = self._next, None
        if begun is None:
            return self.windows.batch(index)
        there, batch = begun[0], begun[1].result()
        return batch if torch.equal(there, index.cpu()) else self.windows.batch(index)

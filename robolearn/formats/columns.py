"""Rows as sources have them: read when they are asked for, by slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from robolearn.types import Array


@runtime_checkable
class Column(Protocol):
    """Rows [time, ...] of one quantity; an array is one, and so is a data set in a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, and the shape of one."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """Of its numbers; object where rows are texts or bytes of any length."""
        ...

    def __getitem__(self, rows: slice, /) -> Array:
        """Rows from start up to stop."""
        ...


def num_rows(column: Column) -> int:
    """Rows of a column; a single number has none."""
    return column.shape[0] if column.shape else 0


class Part:
    """The rows of one episode in a column of all of them."""

    def __init__(self, whole: Column, start: int, stop: int) -> None:
        self._whole, self._start, self._stop = whole, start, stop
        self.shape, self.dtype = (stop - start, *whole.shape[1:]), whole.dtype

    def __getitem__(self, rows: slice, /) -> Array:
        start, stop, _ = rows.indices(self._stop - self._start)
        return self._whole[self._start + start : self._start + max(start, stop)]


class Blocks:
    """A column that is read forward, a block at a time: short episodes would else decode the same chunk many times.

    Args:
        read: Rows from start up to stop.
        shape: Of the whole column.
        dtype: Of its numbers.
        block: Rows that are read at once.
    """

    def __init__(self, read: Callable[[int, int], Array], shape: Sequence[int], dtype: np.dtype, block: int) -> None:
        self.read, self._block = read, max(1, block)
        self.shape, self.dtype = tuple(shape), dtype
        self._first, self._rows = 0, np.empty((0, *self.shape[1:]), dtype)

    def __getitem__(self, rows: slice, /) -> Array:
        start, stop, _ = rows.indices(self.shape[0])
        if stop - start > self._block:
            return self.read(start, stop)
        parts = []
        while start < stop:
            if not self._first <= start < self._first + len(self._rows):
                self._first = start // self._block * self._block
                self._rows = self.read(self._first, min(self._first + self._block, self.shape[0]))
            end = min(stop, self._first + len(self._rows))
            parts.append(self._rows[start - self._first : end - self._first])
            start = end
        return np.concatenate(parts) if parts else np.empty((0, *self.shape[1:]), self.dtype)


class Entry:
    """The rows of one episode in a column whose entries are episodes, padded to equal lengths.

    Args:
        whole: [episodes, time, ...].
        number: Of the episode.
        steps: Its rows; by default all.
    """

    def __init__(self, whole: Column, number: int, steps: int | None = None) -> None:
        self._whole, self._number = whole, number
        steps = whole.shape[1] if steps is None else min(steps, whole.shape[1])
        self.shape, self.dtype = (steps, *whole.shape[2:]), whole.dtype

    def __getitem__(self, rows: slice, /) -> Array:
        return self._whole[self._number : self._number + 1][0][: self.shape[0]][rows]

"""When things happen in an episode: beginnings in which nothing moves, and actions that were recorded late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robolearn.types import Array

FAST, FLAG = 0.99, 0.02  # quantile of the changes that is fast, at least this share of the range
REST = 0.05  # of what is fast, root mean square over all numbers: below it nothing moves


@dataclass(frozen=True)
class Timing:
    """What is mended of a recording as it is read.

    Attributes:
        trim_idle: Whether to leave out the beginnings in which nothing moves.
        action_lag: Steps by which actions were recorded late.
    """

    trim_idle: bool = False
    action_lag: int = 0

    def idle(self, arrays: Sequence[Array], ends: Array) -> Array | None:
        """Steps at the beginning of each episode [e] that are left out; see `find_idle`. None for none."""
        return find_idle(arrays, ends) if self.trim_idle else None

    def now(self, actions: Array, ends: Array) -> Array:
        """The action that belongs to each observation [time, a], the last one where its own was not recorded."""
        return advance(actions, ends, self.action_lag)


AS_RECORDED = Timing()


def find_idle(arrays: Sequence[Array], ends: Array) -> Array:
    """Steps of each episode [e] before anything moves; all of an episode in which nothing does.

    Args:
        arrays: Rows [time, ...] of what is observed and done, finite.
        ends: Cumulative, exclusive ends of the episodes [e].
    """
    total, squares, count = int(ends[-1]), np.zeros(int(ends[-1])), 0
    if total < 2:  # a single step, which nothing changes from
        return np.ones(len(ends), np.int64)
    borders = ends[:-1] - 1
    for array in arrays:
        for x in array.reshape(total, -1).T.astype(np.float64):
            change = np.abs(np.diff(x))
            change[borders] = 0
            fast = max(np.quantile(change, FAST), FLAG * (x.max() - x.min()))
            if fast > 0:
                squares[:-1] += np.minimum(change / fast, 1.0) ** 2
                count += 1
    moves = np.sqrt(squares / max(count, 1)) >= REST
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
    rows = np.where(moves, np.arange(total), total)
    first = np.minimum.reduceat(rows, starts)
    return np.minimum(first, ends) - starts


def advance(rows: Array, ends: Array, steps: int) -> Array:
    """Rows [time, ...] so many steps later in the same episode, the last one where it ends before."""
    last = np.repeat(ends - 1, np.diff(ends, prepend=0))
    return rows[np.minimum(np.arange(len(rows)) + steps, last)]

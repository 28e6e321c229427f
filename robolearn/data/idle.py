"""Steps at the beginning of an episode in which nothing moves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robolearn.types import Array

FAST, FLAG = 0.99, 0.02  # quantile of the changes that is fast, at least this share of the range
REST = 0.05  # of what is fast, root mean square over all numbers: below it nothing moves


def find_idle(arrays: Sequence[Array], ends: Array) -> Array:
    """Steps of each episode [e] before anything moves; all of an episode in which nothing does.

    Args:
        arrays: Rows [time, ...] of what is observed and done, finite.
        ends: Cumulative, exclusive ends of the episodes [e].
    """
    total, squares, count = int(ends[-1]), np.zeros(int(ends[-1])), 0
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

"""What makes recorded arrays trainable, as pure functions: each names the first fault in one line."""

from __future__ import annotations

import numpy as np


def ends_problem(ends: np.ndarray) -> str | None:
    """Say why `ends` is no list of cumulative, exclusive episode ends; None if it is one."""
    if ends.ndim != 1 or ends.dtype.kind not in "iu":
        return f"meta/episode_ends has shape {ends.shape} and type {ends.dtype}, expected [e] integers"
    if len(ends) == 0:
        return "zero episodes (meta/episode_ends is empty)"
    lengths = np.diff(ends.astype(np.int64), prepend=0)
    bad = np.flatnonzero(lengths <= 0)
    if len(bad):
        i = int(bad[0])
        before = int(ends[i - 1]) if i else 0
        what = "has no steps" if lengths[i] == 0 else "ends before it starts"
        return f"meta/episode_ends: episode {i} {what} (from {before} to {int(ends[i])}); ends must increase"
    return None


def finite_problem(key: str, array: np.ndarray, ends: np.ndarray, first_row: int = 0) -> str | None:
    """Name key, episode, step and dimension of the first NaN or infinity; None if all is finite.

    Args:
        key: Name for the message.
        array: Rows [time, ...] of the key, of any type.
        ends: Cumulative, exclusive ends of the episodes [e].
        first_row: Row of the whole recording at which `array` starts.
    """
    # A finite sum proves that every entry is finite, in one pass and without a temporary array.
    if array.dtype.kind != "f" or np.isfinite(np.sum(array, dtype=np.float64)):
        return None
    flat = array.reshape(len(array), -1)
    rows, dims = np.nonzero(~np.isfinite(flat))
    if len(rows) == 0:
        return None
    row, dim = int(rows[0]) + first_row, int(dims[0])
    episode = int(np.searchsorted(ends, row, side="right"))
    step = row - (int(ends[episode - 1]) if episode else 0)
    return f"data/{key}: {flat[rows[0], dim]} in episode {episode}, step {step}, dim {dim} (row {row})"

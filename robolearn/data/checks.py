"""What makes recorded arrays trainable, as pure functions: each names the first fault in one line."""

from __future__ import annotations

import hashlib

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


def ends_checksum(ends: np.ndarray) -> str:
    """sha256 of the episodes' ends [e], and so of their number, which no chunk's checksum covers."""
    return hashlib.sha256(np.ascontiguousarray(ends, dtype="<i8").tobytes()).hexdigest()


def type_problem(key: str, dtype: np.dtype) -> str | None:
    """Say why arrays of this type hold no numbers to train on; None if they do."""
    if dtype.kind in "biuf" and dtype.itemsize <= 8:
        return None
    return f"data/{key}: has type {dtype}; expected truth values, integers or floats of 1 to 8 bytes"


def float32_problem(key: str, array: np.ndarray, ends: np.ndarray, first_row: int = 0) -> str | None:
    """Name the first number that float32 cannot hold: a float beyond its range, a whole number that it would round.

    Args:
        key: Name for the message.
        array: Finite rows [time, ...] of the key.
        ends: Cumulative, exclusive ends of the episodes [e].
        first_row: Row of the whole recording at which `array` starts.
    """
    if array.dtype.itemsize < 4 or array.dtype.kind not in "iuf" or array.dtype == np.float32:
        return None
    if array.dtype.kind == "f":
        wrong, what = np.abs(array) > np.finfo(np.float32).max, "does not fit into float32"
    elif array.size == 0 or max(abs(int(array.min())), abs(int(array.max()))) <= 1 << 24:
        return None
    else:
        # Exact in float32 is what has at most 24 bits between its highest and its lowest.
        size = np.abs(array).astype(np.uint64)
        wrong = size // np.maximum(size & (~size + np.uint64(1)), np.uint64(1)) > np.uint64(1 << 24)
        what = "would be rounded in float32; store it relative to something near"
    if not wrong.any():
        return None
    flat = array.reshape(len(array), -1)
    row, dim = (int(i) for i in np.argwhere(wrong.reshape(len(array), -1))[0])
    return f"data/{key}: {flat[row, dim]} in {_place(row + first_row, dim, ends)} {what}"


def _place(row: int, dim: int, ends: np.ndarray) -> str:
    episode = int(np.searchsorted(ends, row, side="right"))
    step = row - (int(ends[episode - 1]) if episode else 0)
    return f"episode {episode}, step {step}, dim {dim} (row {row})"


def finite_problem(key: str, array: np.ndarray, ends: np.ndarray, first_row: int = 0) -> str | None:
    """Name key, episode, step and dimension of the first NaN or infinity; None if all is finite.

    Args:
        key: Name for the message.
        array: Rows [time, ...] of the key, of any type.
        ends: Cumulative, exclusive ends of the episodes [e].
        first_row: Row of the whole recording at which `array` starts.
    """
    # A finite sum proves that every entry is finite, in one pass and without a temporary array.
    if array.dtype.kind != "f":
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.sum(array, dtype=np.float64)):
            return None
    flat = array.reshape(len(array), -1)
    rows, dims = np.nonzero(~np.isfinite(flat))
    if len(rows) == 0:
        return None
    row, dim = int(rows[0]), int(dims[0])
    return f"data/{key}: {flat[row, dim]} in {_place(row + first_row, dim, ends)}"

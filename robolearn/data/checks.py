"""What makes recorded arrays trainable, as pure functions: each names the first fault in one line."""

from __future__ import annotations

import hashlib

import numpy as np

from robolearn.images import MIN_SIDE, seen_shape
from robolearn.types import is_image


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


def shape_problem(key: str, shape: tuple[int, ...]) -> str | None:
    """Say why an array of this shape [time, ...] can be no actions or no observations; None if it can."""
    expected = "[time, a]" if key == "action" else "[time, d] or [time, h, w, c]"
    if len(shape) < 2 or (key == "action" and len(shape) > 2):
        return f"data/{key} has shape {shape}, expected {expected}"
    if 0 in shape[1:]:
        return f"data/{key} has shape {shape}, so that a step holds no numbers; expected {expected}"
    return image_problem(key, shape[1:])


def image_problem(key: str, shape: tuple[int, ...]) -> str | None:
    """Say why steps of this shape [...] are neither numbers nor an image; None if they are one of them.

    Three axes are an image. One of a single pixel's width is a vector that was folded by mistake, and one with another
    number of channels would be learned from as thousands of unrelated numbers.
    """
    if len(shape) < 3 or seen_shape(shape) is not None:
        return None
    if is_image(shape):
        return (
            f"data/{key} has steps of shape {shape}, as images [h, w, c] have, but less than {MIN_SIDE} pixels a side; "
            "store numbers as [time, d]"
        )
    hint = "an image [h, w, c] or [c, h, w] has 1, 3 or 4 channels"
    if len(shape) > 3:
        hint = "several images of a step have a key each, and so has what else belongs together"
    return f"data/{key} has steps of shape {shape}, neither numbers [d] or [n, d] nor an image; {hint}"


def rows_problem(key: str, rows: np.ndarray, ends: np.ndarray, first_row: int = 0) -> str | None:
    """Name the first number of a key that cannot be trained on; None if all can.

    Args:
        key: Name for the message.
        rows: Rows [time, ...] of the key, of any type of numbers.
        ends: Cumulative, exclusive ends of the episodes [e].
        first_row: Row of the whole recording at which `rows` starts.
    """
    problem = finite_problem(key, rows, ends, first_row)
    if problem or seen_shape(rows.shape[1:]) is not None:
        return problem
    return float32_problem(key, rows, ends, first_row)


def color_problem(key: str, images: np.ndarray, ends: np.ndarray, first_row: int = 0) -> str | None:
    """Name the first number of images whose colors are in no range that they are recorded in; see `ImageRange`."""
    low, high = (0, 65535) if images.dtype.kind in "iu" else (0, 255)
    wrong = (images < low) | (images > high)
    if not wrong.any():
        return None
    return (
        f"{_first(key, images, wrong, ends, first_row)} is no color; expected 0 .. 255, floats in [0, 1] or [-1, 1], "
        "or whole numbers up to 65535"
    )


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
    return f"{_first(key, array, wrong, ends, first_row)} {what}" if wrong.any() else None


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
    wrong = ~np.isfinite(array)
    return _first(key, array, wrong, ends, first_row) if wrong.any() else None


def _first(key: str, rows: np.ndarray, wrong: np.ndarray, ends: np.ndarray, first_row: int) -> str:
    """Name the first wrong number: its key, value, episode, step and dimension."""
    row, dim = (int(i) for i in np.argwhere(wrong.reshape(len(rows), -1))[0])
    value, row = rows.reshape(len(rows), -1)[row, dim], row + first_row
    episode = int(np.searchsorted(ends, row, side="right"))
    step = row - (int(ends[episode - 1]) if episode else 0)
    return f"data/{key}: {value} in episode {episode}, step {step}, dim {dim} (row {row})"

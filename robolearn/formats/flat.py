"""Where the episodes are in arrays that hold all of them, one behind the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from robolearn.errors import UserError
from robolearn.formats.columns import Column, Part
from robolearn.types import Array

FLAGS = {
    "terminated": ("terminals", "terminal", "terminations", "terminated", "dones", "done"),
    "truncated": ("timeouts", "timeout", "truncations", "truncated"),
    "success": ("success", "is_success"),
}


def cut_by_flags(flags: Iterable[Column], rows: int) -> Array:
    """Ends of episodes [e] where one of the flags [time] is true, and at the last row."""
    last = np.zeros(rows, bool)
    for flag in flags:
        last[: flag.shape[0]] |= np.asarray(flag[0:rows]).reshape(min(rows, flag.shape[0]), -1).any(axis=1)
    if rows:
        last[-1] = True
    return np.flatnonzero(last) + 1


def check_ends(ends: Array, rows: int, where: str) -> Array:
    """Ends of episodes [e], checked against the number of rows.

    Raises:
        UserError: They do not increase, or go beyond the rows.
    """
    ends = np.asarray(ends).reshape(-1)
    if ends.dtype.kind == "f" and (ends == np.trunc(ends)).all():
        ends = ends.astype(np.int64)
    if ends.dtype.kind not in "iu" or len(ends) == 0 or (np.diff(ends.astype(np.int64), prepend=0) < 0).any():
        raise UserError(f"{where}: ends of episodes are {ends[:5].tolist()} ..., expected whole numbers that increase")
    if ends[-1] != rows:
        raise UserError(f"{where}: the last episode ends at {ends[-1]}, there are {rows} actions")
    return ends.astype(np.int64)


def parts(columns: Mapping[str, Column], start: int, stop: int) -> dict[str, Column]:
    """The rows of one episode, of columns that have as many rows as there are."""
    return {key: Part(column, start, stop) for key, column in columns.items()}

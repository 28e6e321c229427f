"""Where the episodes are in arrays that hold all of them, one behind the other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from robolearn.errors import UserError
from robolearn.formats.columns import Column, Part
from robolearn.types import Array

FLAGS = {
    "terminated": ("terminals", "terminal", "terminations", "terminated", "dones", "done"),
    "truncated": ("timeouts", "timeout", "truncations", "truncated"),
    "success": ("success", "is_success"),
}


def cut_by_flags(flags: Mapping[str, Column], rows: int, where: str) -> Array:
    """Ends of episodes [e] where one of the flags, by name, is true, and at the last row.

    Raises:
        UserError: A flag is not one truth value for each row: where episodes end is not known then.
    """
    last = np.zeros(rows, bool)
    for name, flag in flags.items():
        if flag.dtype.kind not in "biuf" or flag.shape not in ((rows,), (rows, 1)):
            raise UserError(
                f"{where}: {name} is {flag.dtype} {flag.shape}, expected a truth value for each of {rows} actions; "
                "mend the file, or leave it out"
            )
        values = np.asarray(flag[0:rows]).reshape(rows)
        if not np.isfinite(values).all():
            raise UserError(f"{where}: {name} is not finite in row {np.flatnonzero(~np.isfinite(values))[0]}")
        last |= values.astype(bool)
    if rows:
        last[-1] = True
    return np.flatnonzero(last) + 1


def check_counts(counts: Array, most: int, where: str) -> Array:
    """Whole numbers from 0 to a largest one [n], whatever their type.

    Raises:
        UserError: One of them is something else.
    """
    counts = np.asarray(counts).reshape(-1)
    if counts.dtype.kind not in "iuf" or not ((counts >= 0) & (counts <= most) & (counts == np.trunc(counts))).all():
        raise UserError(
            f"{where} are {counts[:5].tolist()} ..., expected whole numbers from 0 to {most}; mend the file"
        )
    return counts.astype(np.int64)


def check_ends(ends: Array, rows: int, where: str) -> Array:
    """Ends of episodes [e], checked against the number of rows.

    Raises:
        UserError: They do not increase, or end before the last row.
    """
    if len(ends) == 0 or (np.diff(ends, prepend=0) < 0).any():
        raise UserError(f"{where}: ends of episodes are {ends[:5].tolist()} ..., expected whole numbers that increase")
    if ends[-1] != rows:
        raise UserError(f"{where}: the last episode ends at {ends[-1]}, there are {rows} actions")
    return ends


def parts(columns: Mapping[str, Column], start: int, stop: int) -> dict[str, Column]:
    """The rows of one episode, of columns that have as many rows as there are."""
    return {key: Part(column, start, stop) for key, column in columns.items()}

"""Paths in the plane as points at even distances, and how a rod follows one."""

from __future__ import annotations

import numpy as np

from robolearn.contract import Array


def resample(corners: Array, num: int) -> Array:
    """`num` points [num, 2] at even arc length along the polyline `corners` [k, 2]."""
    length = np.concatenate([[0.0], np.linalg.norm(np.diff(corners, axis=0), axis=1).cumsum()])
    even = np.linspace(0.0, length[-1], num)
    return np.stack([np.interp(even, length, corners[:, i]) for i in range(2)], axis=1)


def ahead(paths: Array, xy: Array, distance: float) -> Array:
    """Point [n, 2] that lies `distance` [m] further on its path than the path's point nearest to the rod.

    Args:
        paths: Points at even distances [n, k, 2].
        xy: Where the rods are [n, 2].
        distance: [m]; towards its end a path is shorter.
    """
    offset = paths - xy[:, None]
    nearest = (np.square(offset[..., 0]) + np.square(offset[..., 1])).argmin(axis=1)
    step = paths[:, 1] - paths[:, 0]
    spacing = np.sqrt(np.square(step[:, 0]) + np.square(step[:, 1]))
    index = np.minimum(nearest + np.rint(distance / spacing).astype(np.int64), paths.shape[1] - 1)
    return paths[np.arange(len(paths)), index]

"""Random fields of cylinders that can always be crossed.

A field is an array [k, 3] of x, y and radius [m] of its cylinders; one of radius 0 is not there. Between any two
cylinders there is a gap of at least `PASSAGE`, in which the rod has `MARGIN` to each side. So the discs by which the
rod's axis keeps `MARGIN` from a cylinder do not meet, none reaches from wall to wall, and where one is in the way it
can be walked around, on a side that no wall closes: every field can be crossed, whatever was drawn.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from envs.avoid import FINISH_Y, ROD_RADIUS
from robolearn.contract import Array

MARGIN = 0.015  # between the rod and a cylinder that it walks around [m]
PASSAGE = 2 * (ROD_RADIUS + MARGIN)  # least gap between two cylinders [m]
BOTTOM = -0.25  # the discs lie between this height, above every start, and the finish line [m]
SIDE = 0.35  # cylinders stand at x in +- this [m], in the walls too: the way along them is no freer than any other
MAX_CYLINDERS = 20
MAX_RADIUS = 0.05  # [m]
TRIES = 32  # places that are drawn for a cylinder before the field is begun anew


class FieldKind(NamedTuple):
    """From what a field is drawn, uniformly: how many cylinders there are (both included), and their radii [m]."""

    counts: tuple[int, int]
    radii: tuple[float, float]


KINDS = {
    "usual": FieldKind((9, 13), (0.015, 0.035)),
    "dense": FieldKind((16, MAX_CYLINDERS), (0.015, 0.035)),
    "thick": FieldKind((8, 10), (0.035, MAX_RADIUS)),
}


def sample_field(rng: np.random.Generator, kind: FieldKind) -> Array:
    """Draw a field [MAX_CYLINDERS, 3]: cylinders one after the other, each where there is room, the thickest first."""
    count = int(rng.integers(kind.counts[0], kind.counts[1] + 1))
    radii = np.sort(rng.uniform(*kind.radii, count))[::-1]
    field = None
    while field is None:
        field = _placed(rng, radii)
    return np.pad(field, ((0, MAX_CYLINDERS - count), (0, 0)))


def _placed(rng: np.random.Generator, radii: Array) -> Array | None:
    """A field of these radii [k], or None where one of them finds no room beside those before it."""
    field = np.empty((0, 3))
    for radius in radii:
        disc = radius + ROD_RADIUS + MARGIN
        low, high = (-SIDE, BOTTOM + disc), (SIDE, FINISH_Y - disc)
        places = rng.uniform(low, high, (TRIES, 2))
        x, y = places[:, :1] - field[:, 0], places[:, 1:] - field[:, 1]
        gaps = np.sqrt(np.square(x) + np.square(y)) - field[:, 2] - radius
        free = places[(gaps >= PASSAGE).all(axis=1)]
        if not len(free):
            return None
        field = np.append(field, [[*free[0], radius]], axis=0)
    return field


def clearance(xy: Array, field: Array) -> Array:
    """Exact signed distance [m], shape [...], between the rod at `xy` [..., 2] and the nearest cylinder.

    Negative inside a cylinder. The rod's radius is subtracted, so contact is `clearance <= 0`.

    Args:
        xy: The rod's position [m].
        field: x, y, radius [..., k, 3]; without a cylinder the distance is infinite.
    """
    away = np.square(xy[..., None, 0] - field[..., 0]) + np.square(xy[..., None, 1] - field[..., 1])
    distance = np.where(field[..., 2] > 0.0, np.sqrt(away) - field[..., 2], np.inf)
    return distance.min(axis=-1) - ROD_RADIUS

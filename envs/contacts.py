"""Which control steps touch something, told by exact distances and without asking at all of their moments."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from robolearn.contract import Array

ROUNDING = 1e-9  # [m]; far more than that of a distance


def touches(clearance: Callable[[Array, Array], Array], xy: Array, scene: Array) -> Array:
    """Whether the distance to what stands around is 0 or less at any moment of a step: [...].

    A distance changes by no more than what moves does, so that the last moment tells of nearly every step.

    Args:
        clearance: Signed distance [m] of positions [..., 2] in scenes [..., *c].
        xy: Positions at the moments of each step [..., s, 2], [m].
        scene: In what each step is taken [..., *c].
    """
    last = xy[..., -1, :]
    x, y = xy[..., 0] - last[..., None, 0], xy[..., 1] - last[..., None, 1]
    moved = np.sqrt((np.square(x) + np.square(y)).max(axis=-1))
    near = clearance(last, scene) <= moved + ROUNDING
    touching = np.zeros(near.shape, bool)
    touching[near] = (clearance(xy[near], scene[near][:, None]) <= 0.0).any(axis=-1)
    return touching

"""AvoidPixels: Avoid with rows of obstacles that stand elsewhere in every episode and are seen by a camera only.

    y ^   finish ------------------------------
      |  ====   0   o   1   o   2   o   3   ====     each row slides by up to 7.5 cm, half the distance
      |  ======   0   o   1   o   2   ==========     between two cylinders, on its own; bars (=) close
      |  =========  0   o   1   ================     it on both sides, so that no way is always free
      +--> x

A policy that does not look at the image meets any x of a row blocked in almost every second episode; the expert
knows where the rows are.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from gymnasium import spaces

from envs.avoid import OBSTACLES, RADII, Avoid, Obstacles
from envs.task import Array

SPACING = 0.15  # between the cylinders of a row [m]
MAX_SHIFT = SPACING / 2
BAR_ENDS = np.array([0.5, 0.5, 0.5])  # beyond the walls [m]
BAR_TIPS = SPACING * np.array([1.0, 1.5, 2.0])  # where the row's next cylinders would stand [m]
ROW_RADII = RADII[[0, 1, 3]]


def _with_bars(obstacles: Obstacles) -> Obstacles:
    left = Obstacles(np.arange(3), -BAR_ENDS, -BAR_TIPS, ROW_RADII)
    right = Obstacles(np.arange(3), BAR_TIPS, BAR_ENDS, ROW_RADII)
    return Obstacles(*(np.concatenate(parts) for parts in zip(obstacles, left, right, strict=True)))


class AvoidPixels(Avoid):
    """Avoid's action and outcome. Observations: `image` uint8 [96, 96, 3]; `state`: x, y [m], vx, vy [m/s].

    The rows' places are part of the start (x, y, and one shift per row [m]) and of the physics state, as
    positions that nothing moves.
    """

    xml = "avoid_pixels.xml"
    max_steps = 200
    symmetry = None  # an image is not mirrored by a matrix on its channels
    cameras = {"image": "top"}  # noqa: RUF012
    views = ("front", "corner", "far")
    observation_space = spaces.Dict({"image": spaces.Box(0, 255, (96, 96, 3), np.uint8), **Avoid.observation_space})
    start_space = spaces.Box(
        np.append(Avoid.start_space.low, [-MAX_SHIFT] * 3),
        np.append(Avoid.start_space.high, [MAX_SHIFT] * 3),
        dtype=np.float64,
    )
    obstacles = _with_bars(OBSTACLES)
    leave = (-0.21, -0.19)  # the first gap is up to 15 cm away
    choice = 0.18

    @property
    def clearance(self) -> Callable[[Array], Array] | None:
        """None: the rows stand elsewhere in every episode."""
        return None

    def sample_start(self, rng: np.random.Generator) -> Array:
        """Draw x, y around the start point and the shift of each row: [5]."""
        return np.append(super().sample_start(rng), rng.uniform(-MAX_SHIFT, MAX_SHIFT, 3))

    def shift(self, qpos: Array) -> Array:
        """The rows' positions [..., 3]."""
        return qpos[..., 2:]

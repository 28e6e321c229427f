"""Avoid: a rod crosses rows of 1, 2 and 3 cylinders, in one of 2 x 3 x 4 = 24 ways, without touching any.

    y ^   finish ------------------------------  0.35
      |          0   o   1   o   2   o   3       0.26   (gap numbers between the cylinders o)
      |              0   o   1   o   2           0.08
      |                  0   o   1              -0.10
      |                    start                -0.28
      +--> x

The layout is that of D3IL's obstacle avoidance (Jia et al. 2024, arXiv:2402.14606).
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
from gymnasium import spaces

from envs.task import Array, Outcome, Task

ROD_RADIUS = 0.01
ROWS = np.array([-0.10, 0.08, 0.26])  # y of the rows [m]
CYLINDERS = (np.array([0.0]), np.array([-0.075, 0.075]), np.array([-0.15, 0.0, 0.15]))  # x in each row [m]
# Where the expert passes: x of every gap's middle [m]; an outer gap counts as wide as an inner one.
GAPS = (np.array([-0.075, 0.075]), np.array([-0.15, 0.0, 0.15]), np.array([-0.225, -0.075, 0.075, 0.225]))
CENTRES = np.array([(x, y) for y, xs in zip(ROWS, CYLINDERS, strict=True) for x in xs])
RADII = np.array([0.03, 0.025, 0.025, 0.025, 0.025, 0.025])
ROW_OF = np.array([0, 1, 1, 2, 2, 2])
START_Y, FINISH_Y = -0.28, 0.35
WALLS = np.array([[-0.32, -0.32], [0.32, 0.40]])  # least and greatest position of the rod's axis [m]

# The expert's path: [m]
ADVANCE = 0.0125  # how far ahead of the rod, along the path, the target lies
LEAVE = (-0.18, -0.167)  # the middle is left at a height drawn from here
STRAIGHT = 0.03  # the first gap's lane is reached this far before its row
ROUNDING = 0.03  # length over which corners are rounded
NUM_POINTS = 512


class Obstacles(NamedTuple):
    """Bars along x with round ends; a cylinder is a bar without length. Every array has shape [k].

    Attributes:
        row: Index of the row it stands in.
        left: x of the left end's centre in the row's frame [m].
        right: x of the right end's centre [m].
        radius: Half its thickness [m].
    """

    row: Array
    left: Array
    right: Array
    radius: Array


OBSTACLES = Obstacles(ROW_OF, CENTRES[:, 0], CENTRES[:, 0], RADII)


def clearance(xy: Array, obstacles: Obstacles = OBSTACLES, shift: Array = np.zeros(3)) -> Array:  # noqa: B008
    """Exact signed distance [m], shape [...], between the rod at `xy` [..., 2] and the nearest obstacle.

    Negative inside an obstacle. The rod's radius is subtracted, so contact is `clearance <= 0`.

    Args:
        xy: The rod's position [m].
        obstacles: What there is in the rows.
        shift: How far each row stands to the right of its place [..., 3], [m].
    """
    x = xy[..., :1] - shift[..., obstacles.row]
    along = np.maximum(np.maximum(obstacles.left - x, x - obstacles.right), 0.0)
    across = xy[..., 1:] - ROWS[obstacles.row]
    return (np.sqrt(np.square(along) + np.square(across)) - obstacles.radius).min(axis=-1) - ROD_RADIUS


def mode_of(crossings: Array) -> Array:
    """Mode in 0 .. 23, shape [...], of the x in each row's frame where it was crossed [..., 3]; -1 where one is NaN."""
    gap = [(crossings[..., i, None] > xs).sum(axis=-1) for i, xs in enumerate(CYLINDERS)]
    return np.where(np.isnan(crossings).any(axis=-1), -1, (gap[0] * 3 + gap[1]) * 4 + gap[2])


class Avoid(Task):
    """Action: the rod's target position (x, y) [m]. Observation `state`: x, y [m], vx, vy [m/s].

    The velocity makes the state complete: earlier observations tell no more of what an action will do.
    Memory: 1 after a contact, and the x in its frame at which each row was first crossed, NaN before.
    """

    xml = "avoid.xml"
    control_dt = 0.05
    max_steps = 150
    num_modes = 24
    memory_dim = 4
    has_expert = True
    expert_noise = 0.003
    symmetry: ClassVar[dict[str, Any] | None] = {  # the mirror x -> -x
        "order": 2,
        "maps": {
            "state": {"matrix": np.diag([-1.0, 1.0, -1.0, 1.0]).tolist(), "offset": [0.0] * 4},
            "action": {"matrix": np.diag([-1.0, 1.0]).tolist(), "offset": [0.0] * 2},
        },
    }
    action_space = spaces.Box(np.float32(-0.4), np.float32(0.4), (2,))
    observation_space = spaces.Dict({"state": spaces.Box(np.float32(-1e3), np.float32(1e3), (4,))})
    start_space = spaces.Box(np.array([-0.32, -0.32]), np.array([0.32, -0.16]), dtype=np.float64)
    start_spread: ClassVar[Array] = np.array([0.02, 0.01])
    obstacles: ClassVar[Obstacles] = OBSTACLES
    leave: ClassVar[tuple[float, float]] = LEAVE

    def shift(self, qpos: Array) -> Array:
        """How far each row stands to the right of its place, [..., 3] or [3], given positions or starts [..., nq]."""
        return np.zeros(3)

    def sample_start(self, rng: np.random.Generator) -> Array:
        """Draw x, y [2] around the start point."""
        return np.array([0.0, START_Y]) + self.start_spread * rng.uniform(-1.0, 1.0, 2)

    def initial_state(self, start: Array) -> tuple[Array, Array]:
        """Rod at rest at `start` [n, nq]."""
        memory = np.full((len(start), self.memory_dim), np.nan)
        memory[:, 0] = 0.0
        return self.physics_at(start), memory

    def control(self, action: Array) -> Array:
        """Targets of the two position actuators, kept between the walls."""
        return np.clip(action, WALLS[0], WALLS[1])

    def observe(self, physics: Array, memory: Array) -> dict[str, Array]:
        """Position and velocity."""
        return {"state": np.concatenate([self.qpos(physics)[..., :2], self.qvel(physics)[..., :2]], axis=-1)}

    def update(self, memory: Array, substates: Array) -> Array:
        """Remember contacts and where the rows were crossed."""
        n, horizon, substeps = substates.shape[:3]
        xy, shift = self.qpos(substates)[..., :2], self.shift(self.qpos(substates))
        after = np.empty((n, horizon, self.memory_dim))
        hit = (clearance(xy, self.obstacles, shift) <= 0.0).any(axis=2)
        after[..., 0] = np.logical_or.accumulate(hit, axis=1) | (memory[:, :1] > 0.0)
        passed = (xy[..., 1].reshape(n, -1, 1) >= ROWS).reshape(n, horizon * substeps, 3)
        first = passed.argmax(axis=1)  # [n, 3]; 0 also where never
        x = np.take_along_axis((xy[..., :1] - shift).reshape(n, -1, 3), first[:, None], axis=1)[:, 0]
        known = ~np.isnan(memory[:, 1:])
        crossing = np.where(known, memory[:, 1:], x)[:, None]
        reached = np.any(passed, axis=1, keepdims=True) & (
            first[:, None] < substeps * np.arange(1, horizon + 1)[:, None]
        )
        after[..., 1:] = np.where(known[:, None] | reached, crossing, np.nan)
        return after

    def outcome(self, physics: Array, memory: Array) -> Outcome:
        """Success behind the finish line, failure after a contact; the score is the progress in y."""
        y, hit = self.qpos(physics)[..., 1], memory[..., 0] > 0.0
        score = np.clip((y - START_Y) / (FINISH_Y - START_Y), 0.0, 1.0)
        return Outcome(
            success=(y >= FINISH_Y) & ~hit,
            failure=hit,
            score=score,
            mode=np.where(hit, -1, mode_of(memory[..., 1:])),
        )

    def plan(self, rng: np.random.Generator, start: Array) -> Array:
        """Draw a gap per row, all 24 combinations alike, and lay a smooth path [NUM_POINTS, 2] through them.

        The first decision shows as late as the first cylinder allows. Later ones are made half way between two
        rows, across the rod's way, so that a policy in doubt there still has room to both sides.
        """
        gaps = [rng.choice(xs) + shift for xs, shift in zip(GAPS, self.shift(start), strict=True)]
        leave = max(start[1], rng.uniform(*self.leave))
        corners = [(start[0], start[1]), (start[0], leave), (gaps[0], ROWS[0] - STRAIGHT)]
        for here, there, y in zip(gaps[:-1], gaps[1:], (ROWS[:-1] + ROWS[1:]) / 2, strict=True):
            corners += [(here, y), (there, y)]
        corners.append((gaps[-1], WALLS[1, 1]))
        return _smooth(np.array(corners))

    def expert(self, physics: Array, memory: Array, plan: Array) -> Array:
        """The point of the path that lies `ADVANCE` ahead of the path's point nearest to the rod."""
        offset = plan - self.qpos(physics)[:, None, :2]
        nearest = (np.square(offset[..., 0]) + np.square(offset[..., 1])).argmin(axis=1)
        step = plan[:, 1] - plan[:, 0]
        spacing = np.sqrt(np.square(step[:, 0]) + np.square(step[:, 1]))
        ahead = np.minimum(nearest + np.rint(ADVANCE / spacing).astype(np.int64), NUM_POINTS - 1)
        return plan[np.arange(len(plan)), ahead]


def _smooth(corners: Array) -> Array:
    """Points [NUM_POINTS, 2], evenly spaced, of the line through `corners` [k, 2], its corners rounded."""
    points = _resample(corners)
    length = np.linalg.norm(np.diff(points, axis=0), axis=1).sum()
    width = 2 * round(ROUNDING / length * NUM_POINTS / 2) + 1
    for _ in range(2):  # twice a moving average: a continuous curvature
        padded = np.pad(points, ((width // 2, width // 2), (0, 0)), mode="edge")
        points = np.stack([np.convolve(padded[:, i], np.full(width, 1 / width), "valid") for i in range(2)], axis=1)
    return _resample(points)


def _resample(points: Array) -> Array:
    """NUM_POINTS points at even arc length along the polyline `points` [k, 2]."""
    length = np.concatenate([[0.0], np.linalg.norm(np.diff(points, axis=0), axis=1).cumsum()])
    even = np.linspace(0.0, length[-1], NUM_POINTS)
    return np.stack([np.interp(even, length, points[:, i]) for i in range(2)], axis=1)

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

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, NamedTuple

import numpy as np
from gymnasium import spaces

from envs.contacts import touches
from envs.disturbance import Disturbance
from envs.paths import ahead, resample
from envs.task import Array, Outcome, Task

ROD_RADIUS = 0.01
ROWS = np.array([-0.10, 0.08, 0.26])  # y of the rows [m]
CYLINDERS = (np.array([0.0]), np.array([-0.075, 0.075]), np.array([-0.15, 0.0, 0.15]))  # x in each row [m]
# Where the expert passes: x of every gap's middle [m]; an outer gap counts as wide as an inner one.
GAPS = (np.array([-0.075, 0.075]), np.array([-0.15, 0.0, 0.15]), np.array([-0.225, -0.075, 0.075, 0.225]))
CENTERS = np.array([(x, y) for y, xs in zip(ROWS, CYLINDERS, strict=True) for x in xs])
RADII = np.array([0.03, 0.025, 0.025, 0.025, 0.025, 0.025])
ROW_OF = np.array([0, 1, 1, 2, 2, 2])
MOVED = 4  # the cylinder that a disturbance moves: the middle one of the last row
START_Y, FINISH_Y = -0.28, 0.35
WALLS = np.array([[-0.32, -0.32], [0.32, 0.40]])  # least and greatest position of the rod's axis [m]

# The expert's path: [m]
ADVANCE = 0.0125  # how far ahead of the rod, along the path, the target lies
LEAVE = (-0.18, -0.167)  # the middle is left at a height drawn from here
STRAIGHT = 0.03  # the first gap's lane is reached this far before its row
ROUNDING = 0.03  # length over which corners are rounded
NUM_POINTS = 512
NARROW = 0.012  # a gap that leaves the rod's axis less than this to each side is not taken
BESIDE = 0.05  # nearer below a row than this, the rod is among its cylinders
LANE = 0.04  # the rod is in a gap when its axis is this near to the gap's middle


class Obstacles(NamedTuple):
    """Bars along x with round ends; a cylinder is a bar without length. Every array has shape [k].

    Attributes:
        row: Index of the row it stands in.
        left: x of the left end's center in the row's frame [m].
        right: x of the right end's center [m].
        radius: Half its thickness [m].
    """

    row: Array
    left: Array
    right: Array
    radius: Array


OBSTACLES = Obstacles(ROW_OF, CENTERS[:, 0], CENTERS[:, 0], RADII)


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


def mode_of(crossings: Array, cylinders: tuple[Array, ...] = CYLINDERS) -> Array:
    """Mode in 0 .. 23, shape [...], of the x in each row's frame where it was crossed [..., 3]; -1 where one is NaN."""
    gap = [np.searchsorted(xs, crossings[..., i]) for i, xs in enumerate(cylinders)]
    return np.where(np.isnan(crossings).any(axis=-1), -1, (gap[0] * 3 + gap[1]) * 4 + gap[2])


class Avoid(Task):
    """Action: the rod's target position (x, y) [m]. Observation `state`: x, y [m], vx, vy [m/s].

    The velocity makes the state complete: earlier observations tell no more of what an action will do.
    Memory: 1 after a contact, and the x in its frame at which each row was first crossed, NaN before.
    Disturbances: `moved` the middle cylinder of the last row, `mass` of the rod, `friction` the damping of its
    actuators, `bias` of x and y.
    """

    xml = "avoid.xml"
    control_dt = 0.05
    max_steps = 150
    num_modes = 24
    score = "share of the way to the finish line"
    memory_dim = 4
    has_expert = True
    expert_noise = 0.003
    symmetry: dict[str, Any] | None = {  # the mirror x -> -x  # noqa: RUF012
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
    obstacles: Obstacles = OBSTACLES
    leave: ClassVar[tuple[float, float]] = LEAVE
    choice: ClassVar[float] = 0.1  # the next gap is one whose middle is not further to the side than this [m]
    moved_range = (-0.1, 0.1)  # where it would touch its neighbors
    positions: ClassVar[dict[str, Array]] = {"state": np.array([1.0, 1.0, 0.0, 0.0])}

    def disturb(self, by: Disturbance) -> None:
        """Move the cylinder where it is drawn, judged, counted and walked around."""
        self.model.geom("moved").pos[0] += by.moved
        to_the_right = by.moved * (np.arange(len(self.obstacles.row)) == MOVED)
        left, right = self.obstacles.left + to_the_right, self.obstacles.right + to_the_right
        self.obstacles = self.obstacles._replace(left=left, right=right)
        last = CYLINDERS[2] + by.moved * np.array([0.0, 1.0, 0.0])
        self.cylinders = (*CYLINDERS[:2], last)
        room = np.pad(np.diff(last), 1, constant_values=np.inf) / 2.0 - RADII[MOVED] - ROD_RADIUS
        middles = GAPS[2] + by.moved / 2.0 * np.array([0.0, 1.0, 1.0, 0.0])
        self.gaps = (*GAPS[:2], middles[room >= NARROW])
        self.scale_mass("rod", by.mass)
        self.model.actuator_biasprm[:, 2] *= by.friction
        if by.moved or by.bias:
            self.symmetry = None

    @property
    def clearance(self) -> Callable[[Array], Array] | None:
        """The exact distance between the rod at xy and the nearest cylinder."""
        return partial(clearance, obstacles=self.obstacles)

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
        qpos = self.qpos(substates)
        after = np.repeat(memory[:, None], horizon, axis=1)
        shift = np.broadcast_to(self.shift(qpos[:, :, -1]), (n, horizon, len(ROWS)))
        hit = touches(lambda xy, shift: clearance(xy, self.obstacles, shift), qpos[..., :2], shift)
        after[..., 0] = np.logical_or.accumulate(hit, axis=1) | (memory[:, :1] > 0.0)
        y = qpos[..., 1].reshape(n, -1)
        highest = np.fmax.reduce(y, axis=1, keepdims=True)  # of what came before a divergence, NaN
        env, row = np.nonzero(np.isnan(memory[:, 1:]) & (highest >= ROWS))
        first = (y[env] >= ROWS[row, None]).argmax(axis=1)
        step = first // substeps
        x = qpos[env, step, first % substeps, 0] - shift[env, step, row]
        known = np.arange(horizon) >= step[:, None]
        after[env, :, 1 + row] = np.where(known, x[:, None], np.nan)
        return after

    def outcome(self, physics: Array, memory: Array) -> Outcome:
        """Success behind the finish line, failure after a contact; the score is the progress in y."""
        y, hit = self.qpos(physics)[..., 1], memory[..., 0] > 0.0
        score = np.clip((y - START_Y) / (FINISH_Y - START_Y), 0.0, 1.0)
        return Outcome(
            success=(y >= FINISH_Y) & ~hit,
            failure=hit,
            score=score,
            mode=np.where(hit, -1, mode_of(memory[..., 1:], self.cylinders)),
        )

    def plan(self, rng: np.random.Generator, physics: Array, memory: Array) -> Array:
        """Draw a gap per row ahead and lay a smooth path [NUM_POINTS, 2] through them; from the start, 24 alike.

        The first decision shows as late as the first cylinder allows. Later ones are made half way between two
        rows, across the rod's way, so that a policy in doubt there still has room to both sides. A rod that is among
        the cylinders of a row already takes its nearest gap; it is backed out first if it is not in it.
        """
        qpos = self.qpos(physics)
        (x, y), shift = qpos[:2], self.shift(qpos)
        rows = np.flatnonzero(y < ROWS)
        middles = [self.gaps[row] + shift[row] for row in rows]
        among = (y > ROWS[rows] - BESIDE).any()
        gaps = [rng.choice(xs if k else self._within_reach(xs, x, among)) for k, xs in enumerate(middles)]
        corners = [(x, y)]
        for row, gap in zip(rows, gaps, strict=True):
            here = corners[-1][0]
            if row == 0 and y <= self.leave[1]:
                corners += [(here, max(y, rng.uniform(*self.leave))), (gap, ROWS[0] - STRAIGHT)]
                continue
            level = max(y, (ROWS[row - 1] + ROWS[row]) / 2) if row else y
            if level > ROWS[row] - BESIDE and abs(gap - x) > LANE:
                level = ROWS[row] - BESIDE
            corners += [(here, level), (gap, level)]
        corners.append((corners[-1][0], WALLS[1, 1]))
        return _smooth(np.array(corners))

    def _within_reach(self, middles: Array, x: float, among: bool) -> Array:
        """Which of the next row's gaps can be taken from `x`."""
        aside = np.abs(middles - x)
        near = middles[aside <= self.choice]
        return middles[[aside.argmin()]] if among or not len(near) else near

    def expert(self, physics: Array, memory: Array, plan: Array) -> Array:
        """The point of the path that lies `ADVANCE` ahead of the path's point nearest to the rod."""
        return ahead(plan, self.qpos(physics)[:, :2], ADVANCE)


def _smooth(corners: Array) -> Array:
    """Points [NUM_POINTS, 2], evenly spaced, of the line through `corners` [k, 2], its corners rounded."""
    points = resample(corners, NUM_POINTS)
    length = np.linalg.norm(np.diff(points, axis=0), axis=1).sum()
    width = 2 * round(ROUNDING / length * NUM_POINTS / 2) + 1
    for _ in range(2):  # twice a moving average: a continuous curvature
        padded = np.pad(points, ((width // 2, width // 2), (0, 0)), mode="edge")
        points = np.stack([np.convolve(padded[:, i], np.full(width, 1 / width), "valid") for i in range(2)], axis=1)
    return resample(points, NUM_POINTS)

"""Push-T: a round pusher slides a T-shaped block over its goal pose; the task of the human demonstrations.

Public quantities are in the demonstrations' pixels (512 px = the window, y downwards), the MJCF's in meters
(1 px = 1 mm). The block in its own frame, whose origin is what `block xy` means:

    (-60, 0) +-----------------+ (60, 0)      --> x
             |        o        |              |
             +-----+     +-----+ y = 30       v y
                   |  g  |                    o origin of the frame: the middle of the upper edge (y = 0)
                   |     |                    g center of gravity (0, 45), about which it turns
                   +-----+ y = 120

Geometry, dynamics, starts and score are gym-pusht's (Chi et al. 2023, arXiv:2303.04137); `docs/pusht.md` says
how closely.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from gymnasium import spaces

from envs.disturbance import Disturbance
from envs.task import Array, Outcome, Task
from robolearn.contract import Scene

PX = 1e-3  # [m]
GRAVITY_Y = 45.0  # of the center of gravity in the block's frame [px]
GOAL_XY, GOAL_ANGLE = np.array([256.0, 256.0]), np.pi / 4
SUCCESS_COVERAGE = 0.95

# The T's outline, and the two boxes (least corner, greatest corner) it consists of [px].
OUTLINE = np.array([[-60, 0], [60, 0], [60, 30], [15, 30], [15, 120], [-15, 120], [-15, 30], [-60, 30]], float)
BOXES = np.array([[[-60, 0], [60, 30]], [[-15, 30], [15, 120]]], float)
AREA = 6300.0

# The demonstrations' `keypoint` in the block's frame [px], as medians over the data: no rule is apparent.
KEYPOINTS = np.array(
    [
        [9.2698, 90.0410],
        [-60.9835, -1.1867],
        [60.9128, -1.3934],
        [-0.2705, 25.5436],
        [-14.0649, 122.8159],
        [39.0027, 32.8574],
        [-39.9664, 32.7297],
        [-16.8243, 62.8632],
        [23.5415, -1.7003],
    ]
)


def coverage(block: Array, goal_xy: Array = GOAL_XY) -> Array:
    """Share of the goal's area that the block covers, in [0, 1], shape [...].

    Exact: clamping the block's outline to one of the goal's boxes (in the goal's frame) moves nothing inside
    that box and everything else onto its boundary, so the clamped outline encloses the intersection's area.
    Between its crossings with the box's four lines an edge stays straight.

    Args:
        block: Pose [..., 3] of the block: x, y [px], angle [rad].
        goal_xy: Where the goal's origin is [2], px.
    """
    block = _relative(block, goal_xy)
    start = transform(block, OUTLINE)  # [..., 8, 2]
    edge = np.roll(start, -1, axis=-2) - start
    area = np.zeros(block.shape[:-1])
    for box in BOXES:
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = (box - start[..., None, :]) / edge[..., None, :]  # [..., 8, 2, 2]
        # An edge parallel to a line never crosses it; 0 / 0 lies on it and is as good as its start.
        crossing = np.clip(np.nan_to_num(crossing), 0.0, 1.0).reshape(*start.shape[:-1], 4)
        t = np.pad(np.sort(crossing, axis=-1), [(0, 0)] * (crossing.ndim - 1) + [(1, 1)], constant_values=(0.0, 1.0))
        point = np.clip(start[..., None, :] + t[..., None] * edge[..., None, :], box[0], box[1])  # [..., 8, 6, 2]
        x, y = point[..., 0], point[..., 1]
        twice = x[..., :-1] * y[..., 1:] - x[..., 1:] * y[..., :-1]
        area += 0.5 * twice.reshape(*area.shape, -1).sum(axis=-1)
    return np.clip(area / AREA, 0.0, 1.0)


def transform(block: Array, points: Array) -> Array:
    """Map points [k, 2] of the block's frame [px] by its pose `block` [..., 3], to shape [..., k, 2]."""
    cos, sin = np.cos(block[..., 2, None]), np.sin(block[..., 2, None])
    x = block[..., 0, None] + cos * points[:, 0] - sin * points[:, 1]
    y = block[..., 1, None] + sin * points[:, 0] + cos * points[:, 1]
    return np.stack([x, y], axis=-1)


def _relative(block: Array, goal_xy: Array) -> Array:
    """Pose [..., 3] in the goal's frame."""
    dx, dy = block[..., 0] - goal_xy[0], block[..., 1] - goal_xy[1]
    cos, sin = np.cos(GOAL_ANGLE), np.sin(GOAL_ANGLE)
    return np.stack([cos * dx + sin * dy, cos * dy - sin * dx, block[..., 2] - GOAL_ANGLE], axis=-1)


def _lever(angle: Array) -> Array:
    """From the block's origin to its center of gravity [..., 2], px."""
    return GRAVITY_Y * np.stack([-np.sin(angle), np.cos(angle)], axis=-1)


class PushT(Task):
    """Action: the pusher's target position (x, y) [px].

    Observations: `state` = pusher x, y [px], block x, y [px], block angle in [0, 2 pi] rad; `keypoint` = nine
    points of the block [px]. The score is min(coverage / 0.95, 1), success a coverage above 0.95. There is no
    scripted expert: the demonstrations are human.
    Disturbances: `moved` the goal, which the observation does not show, `mass` of the block, `friction` what stops
    it, `bias` of pusher, block and keypoints.
    """

    xml = "pusht.xml"
    control_dt = 0.1
    max_steps = 300
    scene = Scene(
        hand=lambda obs: obs["state"][..., :2],
        objects=lambda obs: {"block": obs["state"][..., 2:5]},
        turns=True,
    )
    score = "covered share of the goal / 0.95"
    action_space = spaces.Box(np.float32(0.0), np.float32(512.0), (2,))
    # Walls keep the block inside the window; the margin is for a block that the pusher squeezes into one.
    observation_space = spaces.Dict(
        {
            "state": spaces.Box(
                np.array([-512, -512, -512, -512, 0], np.float32),
                np.array([1024, 1024, 1024, 1024, 2 * np.pi], np.float32),
            ),
            "keypoint": spaces.Box(np.float32(-1024.0), np.float32(1536.0), (9, 2)),
        }
    )
    start_space = spaces.Box(
        np.array([0, 0, 0, 0, -2 * np.pi]), np.array([512, 512, 512, 512, 2 * np.pi]), dtype=np.float64
    )

    moved_range = (-0.1, 0.1)
    positions: ClassVar[dict[str, Array]] = {
        "state": np.array([1, 1, 1, 1, 0]) / PX,
        "keypoint": np.full((9, 2), 1 / PX),
    }

    def disturb(self, by: Disturbance) -> None:
        """Move the goal where it is drawn and judged; change the block."""
        if by.friction > by.mass:
            # Each time step takes the share friction / mass of the block's velocity; 1 at first.
            raise ValueError(
                f"{self.name}: friction={by.friction} is above mass={by.mass}: its block stops at once as is"
            )
        self.model.body("goal").pos[0] += by.moved
        self.goal_xy = GOAL_XY + np.array([by.moved / PX, 0.0])
        self.scale_mass("block", by.mass)
        for joint in ("block_x", "block_y", "block_angle"):
            self.model.joint(joint).damping *= by.friction

    def sample_start(self, rng: np.random.Generator) -> Array:
        """Draw a start in the layout of `state` [5] from gym-pusht's distribution.

        gym-pusht places the upright block before it turns it, so that its center of gravity, not its origin,
        is uniform.
        """
        pusher, upright = rng.integers(50, 450, size=2), rng.integers(100, 400, size=2)
        angle = rng.uniform(-np.pi, np.pi, size=1)
        origin = upright + np.array([0.0, GRAVITY_Y]) - _lever(angle)[0]
        return np.concatenate([pusher, origin, angle])

    def initial_state(self, start: Array) -> tuple[Array, Array]:
        """Everything at rest at `start` [n, 5], in the layout of `state`."""
        center = start[:, 2:4] + _lever(start[:, 4])
        qpos = np.concatenate([PX * center, start[:, 4:], PX * start[:, :2]], axis=1)
        return self.physics_at(qpos), np.zeros((len(start), 0))

    def control(self, action: Array) -> Array:
        """Targets of the two PD actuators [m]."""
        return PX * action.astype(np.float64)

    def observe(self, physics: Array, memory: Array) -> dict[str, Array]:
        """State and keypoints."""
        block = self.block_pose(physics)
        state = np.concatenate([self.qpos(physics)[..., 3:5] / PX, block], axis=-1)
        state[..., 4] %= 2 * np.pi
        return {"state": state, "keypoint": transform(block, KEYPOINTS)}

    def outcome(self, physics: Array, memory: Array) -> Outcome:
        """Judge by coverage; an episode cannot fail."""
        covered = coverage(self.block_pose(physics), self.goal_xy)
        return Outcome(
            success=covered > SUCCESS_COVERAGE,
            failure=np.zeros(covered.shape, bool),
            score=np.minimum(covered / SUCCESS_COVERAGE, 1.0),
            mode=np.full(covered.shape, -1),
        )

    def block_pose(self, physics: Array) -> Array:
        """Block's origin x, y [px] and unwrapped angle [rad]: [..., 3]."""
        qpos = self.qpos(physics)
        angle = qpos[..., 2]
        return np.concatenate([qpos[..., :2] / PX - _lever(angle), angle[..., None]], axis=-1)

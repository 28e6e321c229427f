"""Push: a round pusher brings two square blocks onto two goals, in one of 4 ways: which first, and which where.

    y ^  +-----------------------------+  0.34
      |  |            [red]            |  0.18
      |  |                             |
      |  |   ( 0 )      o      ( 1 )   |  0      goals, and the pusher between them
      |  |                             |
      |  |            [blue]           | -0.18
      |  +-----------------------------+ -0.34   fence, for the blocks alone
      +--> x

After Block-Push (Shafiullah et al. 2022, arXiv:2206.11251), but laid out as a cross: the two ways of a block
lead apart at a wide angle and are pushed from different sides, so that the motion shows which one is meant.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from gymnasium import spaces

from envs.disturbance import Disturbance
from envs.task import Array, Outcome, Task
from robolearn.contract import Scene

SIDE, PUSHER_RADIUS = 0.08, 0.02  # [m]
GOALS = np.array([[-0.22, 0.0], [0.22, 0.0]])  # [m]
TOLERANCE = 0.05  # a block lies in a goal if its center is this near to the goal's [m]
RELEASE = 0.09  # the pusher has let go of a block if it is this far from the block's center [m]
FENCE, REACH = 0.34, 0.38  # greatest |x| and |y| of a block's corner, and of the pusher's target [m]

# Start: pusher x, y [m], then x, y [m], angle [rad] of the red and of the blue block.
START = np.array([0.0, 0.0, 0.0, 0.18, 0.0, 0.0, -0.18, 0.0])
SPREAD = np.array([0.03, 0.03, 0.08, 0.03, np.pi / 4, 0.08, 0.03, np.pi / 4])

# The expert's way: [m]
STEP, PUSH_STEP = 0.015, 0.01  # how far ahead of the pusher its target lies, walking and pushing
RING = 0.1  # distance from a block's center at which it walks around it
CONE = 0.5  # it pushes from where it is off the line of pushing by less than this times its distance along it
CENTRING = 0.01  # off that line by this much it heads back to it at 45 degrees
DEPTH = 0.025  # it lets go of a block this near to the goal's center


class Push(Task):
    """Action: the pusher's target position (x, y) [m].

    Observation `state`: pusher x, y [m], then x, y [m], cos and sin of the angle of the red and of the blue block.
    Memory: the mode, NaN until a block first enters a goal; then how far [m] the blocks were from entering the
    goals at the start (red 0, red 1, blue 0, blue 1).
    Disturbances: `moved` goal 1, which the observation does not show, `mass` of the blocks, `friction` of the floor,
    `bias` of pusher and blocks.
    """

    xml = "push.xml"
    control_dt = 0.05
    max_steps = 400
    num_modes = 4
    score = "mean progress of the two blocks to their goals"
    memory_dim = 5
    has_expert = True
    expert_noise = 0.004
    scene = Scene(
        hand=lambda obs: obs["state"][..., :2],
        objects=lambda obs: {"red": obs["state"][..., 2:4], "blue": obs["state"][..., 6:8]},
    )
    action_space = spaces.Box(np.float32(-REACH), np.float32(REACH), (2,))
    observation_space = spaces.Dict({"state": spaces.Box(np.float32(-1e3), np.float32(1e3), (10,))})
    start_space = spaces.Box(START - SPREAD, START + SPREAD, dtype=np.float64)
    moved_range = (-0.1, 0.06)  # a block there is clear of the starts and of the fence
    positions: ClassVar[dict[str, Array]] = {"state": np.array([1.0, 1, 1, 1, 0, 0, 1, 1, 0, 0])}

    def disturb(self, by: Disturbance) -> None:
        """Move the goal where it is drawn, judged and headed for; change the blocks."""
        self.model.geom("right_goal").pos[0] += by.moved
        self.goals = GOALS + by.moved * np.array([[0.0, 0.0], [1.0, 0.0]])
        for block in ("red", "blue"):
            self.scale_mass(block, by.mass)
            for joint in ("x", "y", "angle"):
                self.model.joint(f"{block}_{joint}").damping *= by.friction

    def sample_start(self, rng: np.random.Generator) -> Array:
        """Draw from all of `start_space` [8], where nothing touches."""
        return START + SPREAD * rng.uniform(-1.0, 1.0, len(START))

    def initial_state(self, start: Array) -> tuple[Array, Array]:
        """Everything at rest at `start` [n, 8]."""
        excess = _excess(_blocks(start), self.goals)
        return self.physics_at(start), np.concatenate([np.full((len(start), 1), np.nan), excess.reshape(-1, 4)], axis=1)

    def control(self, action: Array) -> Array:
        """Targets of the two position actuators."""
        return action.astype(np.float64)

    def observe(self, physics: Array, memory: Array) -> dict[str, Array]:
        """Positions, and angles as cosine and sine."""
        qpos = self.qpos(physics)
        red, blue = (np.stack([np.cos(qpos[..., i]), np.sin(qpos[..., i])], axis=-1) for i in (4, 7))
        return {"state": np.concatenate([qpos[..., :4], red, qpos[..., 5:7], blue], axis=-1)}

    def update(self, memory: Array, substates: Array) -> Array:
        """Remember which block first entered which goal."""
        n, horizon, substeps = substates.shape[:3]
        inside = (_excess(_blocks(self.qpos(substates)), self.goals) == 0.0).reshape(n, horizon * substeps, 4)
        entry = inside.any(axis=2)
        first = inside[np.arange(n), entry.argmax(axis=1)]
        mode = np.array([0.0, 1.0, 3.0, 2.0])[first.argmax(axis=1)]
        entered = np.logical_or.accumulate(entry, axis=1)[:, substeps - 1 :: substeps]
        after = np.repeat(memory[:, None], horizon, axis=1)
        after[..., 0] = np.where(np.isnan(after[..., 0]) & entered, mode[:, None], after[..., 0])
        return after

    def outcome(self, physics: Array, memory: Array) -> Outcome:
        """Success with the blocks in different goals and let go; the score is their mean progress on the way there."""
        qpos = self.qpos(physics)
        blocks = _blocks(qpos)
        progress = self._progress(blocks, memory)
        score = np.maximum(progress[..., 0, 0] + progress[..., 1, 1], progress[..., 0, 1] + progress[..., 1, 0]) / 2.0
        released = (_length(blocks - qpos[..., None, :2]) >= RELEASE).all(axis=-1)
        success = released & (score == 1.0)
        return Outcome(
            success=success,
            failure=np.zeros(success.shape, bool),
            score=score,
            mode=np.where(np.isnan(memory[..., 0]), -1.0, memory[..., 0]).astype(np.int64),
        )

    def plan(self, rng: np.random.Generator, physics: Array, memory: Array) -> Array:
        """The first block (0 red, 1 blue) and the red block's goal [2]: what is further on its way, else drawn."""
        first, red_goal = rng.integers(2, size=2)
        progress = self._progress(_blocks(self.qpos(physics)), memory)
        assigned = np.array([progress[[0, 1], [0, 1]], progress[[0, 1], [1, 0]]])  # by the red block's goal
        if assigned[0].sum() != assigned[1].sum():
            red_goal = assigned.sum(axis=1).argmax()
        if assigned[red_goal, 0] != assigned[red_goal, 1]:
            first = assigned[red_goal].argmax()
        return np.array([first, red_goal], np.float64)

    def _progress(self, blocks: Array, memory: Array) -> Array:
        """Share of the way from its start into each goal that each of `blocks` has come: [..., block, goal]."""
        excess = _excess(blocks, self.goals)
        return np.clip(1.0 - excess / memory[..., 1:].reshape(excess.shape), 0.0, 1.0)

    def expert(self, physics: Array, memory: Array, plan: Array) -> Array:
        """Bring the plan's first block to its goal, then the other, then step back to the middle.

        It pushes a block from behind, along the line from the block to its goal. From elsewhere it walks there,
        around the blocks.
        """
        qpos, rows = self.qpos(physics), np.arange(len(plan))
        pusher, blocks = qpos[:, :2], _blocks(qpos)
        first, red_goal = plan[:, 0].astype(np.int64), plan[:, 1].astype(np.int64)
        way = self.goals[np.stack([red_goal, 1 - red_goal], axis=1)] - blocks
        placed = _length(way) <= DEPTH
        current = np.where(placed[rows, first], 1 - first, first)
        block, other, ahead = blocks[rows, current], blocks[rows, 1 - current], _unit(way[rows, current])

        offset = pusher - block
        along = (offset * ahead).sum(axis=1, keepdims=True)
        aside = offset - along * ahead
        push = PUSH_STEP * _unit(ahead - aside / CENTRING)

        done = np.all(placed, axis=1, keepdims=True)
        there = np.where(done, START[:2], block - RING * ahead)
        walk = _around(pusher, _around(pusher, there, block), other) - pusher
        walk *= np.minimum(1.0, STEP / np.maximum(_length(walk), 1e-9))[:, None]
        behind = np.less(_length(aside), -CONE * along[:, 0])
        return pusher + np.where(behind[:, None] & ~done, push, walk)


def _blocks(qpos: Array) -> Array:
    """Centers [..., block, 2] of the red and the blue block, for positions `qpos` [..., 8]."""
    return np.stack([qpos[..., 2:4], qpos[..., 5:7]], axis=-2)


def _excess(blocks: Array, goals: Array) -> Array:
    """How far [m] each block [..., block, 2] is from entering each of `goals` [goal, 2]: [..., block, goal]."""
    return np.maximum(_length(blocks[..., None, :] - goals) - TOLERANCE, 0.0)


def _around(here: Array, there: Array, center: Array) -> Array:
    """Where to head for from `here` to come `there` and keep `RING` away from `center`; all [n, 2].

    That is `there` itself if the straight way is clear; else a point a little further round the ring than its
    tangent touches it, on the shorter side.
    """
    way, offset, target = there - here, here - center, there - center
    nearest = np.clip(-(offset * way).sum(axis=1) / np.maximum(np.square(way).sum(axis=1), 1e-12), 0.0, 1.0)
    clear = _length(offset + nearest[:, None] * way) >= 0.98 * RING
    distance = np.maximum(_length(offset), 1e-9)
    cross = offset[:, 0] * target[:, 1] - offset[:, 1] * target[:, 0]
    turn = np.arctan2(np.abs(cross), (offset * target).sum(axis=1))
    turn = np.minimum(turn, np.arccos(np.minimum(RING / distance, 1.0)) + 0.3)
    cos, sin = np.cos(turn), np.where(cross < 0.0, -1.0, 1.0) * np.sin(turn)
    turned = np.stack([cos * offset[:, 0] - sin * offset[:, 1], sin * offset[:, 0] + cos * offset[:, 1]], axis=1)
    corner = center + 1.04 * RING * turned / distance[:, None]
    return np.where((clear | (nearest == 0.0))[:, None], there, corner)


def _length(vector: Array) -> Array:
    """Euclidean length [...] of `vector` [..., 2]."""
    return np.sqrt(np.square(vector[..., 0]) + np.square(vector[..., 1]))


def _unit(vector: Array) -> Array:
    """`vector` [n, 2] scaled to length 1."""
    return vector / np.maximum(_length(vector), 1e-9)[:, None]

"""Insert: a peg goes into a slot with 1 mm of clearance per side, whose place is seen with a bias of up to 4 mm.

    z ^        | peg |                 seen from the side; the surface is z = 0
      |        |     |   :             : where the slot is seen: its true place plus the bias
    0 | -------+_____+-- : --+ +-----  peg 20 mm wide, slot 22 mm
      |                  :   | |
      |                      +-+       success 15 mm below the surface
      +--> x

Trusting the seen place succeeds in 29 % of the episodes; the others need a search by touch: the peg slides over the
surface, to the left first or to the right first, until it drops in. Blind search where the uncertainty exceeds the
clearance: Chhatpar and Branicky 2001, Search strategies for peg-in-hole assemblies with position uncertainty.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from gymnasium import spaces

from envs.disturbance import Disturbance
from envs.task import Array, Outcome, Task
from robolearn.contract import Scene

# Layout of the physics: time; x, z of the peg, x of the slot, x where it is seen; velocities; filtered targets x, z.

# The seen place is wrong by at most this [m]. A peg that comes down within 1.15 mm of the slot's middle goes in (1 mm
# of clearance, and its rounded corners center it), which is 29 % of a uniform bias.
BIAS = 0.004
SLOT_X = 0.015  # the slot lies within +- this [m]
DEPTH = 0.015  # of a successful insertion [m]
TOUCH = 2e-4  # the peg's end is on the surface while it is this near to z = 0 [m]; no contact is deeper
STRAYED = 0.001  # a search has begun when the peg has slid this far on the surface [m]
# Spring and damping of the MJCF's actuators, for the force that is observed.
STIFFNESS, MAX_FORCE, DAMPING = 500.0, 6.0, 63.0  # [N/m], [N], [N s/m]
FRICTION = 0.2  # between peg and surface

# The expert: [m]
HOVER = 0.008  # height at which it comes over the seen place
ALIGNED = 0.0003  # it goes down when it is this near
PRESS = 0.004  # how far below the surface, or below the peg's end in the slot, the target lies
LEAD = 0.0016  # how far ahead of the sliding peg the target lies; friction takes half of it


def _slot(state: Array) -> Array:
    """Where the slot is seen [..., 2], on the surface [m]."""
    seen = state[..., 0] + state[..., 4]
    return np.stack([seen, np.zeros_like(seen)], axis=-1)


def straight(physics: Array) -> Array:
    """Actions [..., 2] that trust the seen place: over it, down, and in if the slot happens to be there."""
    x, z, seen = physics[..., 1], physics[..., 2], physics[..., 4]
    down = np.minimum(z, 0.0) - PRESS
    return np.stack([seen, np.where((np.abs(x - seen) < ALIGNED) | (z < 0.0), down, HOVER)], axis=-1)


class Insert(Task):
    """Action: target (x, z) [m] of the middle of the peg's end.

    Observation `state`:

        0, 1   x, z [m]                  5, 6  4 within +- 6 mm, z within +- 3 mm [m]: 1 mm is visible when scaled
        2, 3   velocity x, z [m/s]       7, 8  force x, z on the peg's surroundings [N]
        4      seen place - x [m]        9     x - where the surface was first touched [m]; 0 before
                                         10    the end of the plausible range that was touched last: -1, 1; 0 before

    Memory: x of the first touch and the direction in which the peg first slid away from there (-1 or 1), NaN before;
    observation 10. The expert's action follows from the observation and its first direction: a policy need not
    remember what happened before.
    Mode: that first direction, 0 for left, 1 for right; -1 for a peg that went straight in.
    Disturbances: `moved` the slot, which is seen to move as well, `mass` of the peg, `friction` of the surfaces,
    `bias` of the peg's x and z.
    """

    xml = "insert.xml"
    control_dt = 0.05
    max_steps = 200
    num_modes = 2
    score = "depth of the peg in the slot / 15 mm"
    memory_dim = 3
    has_expert = True
    expert_noise = 0.0003
    scene = Scene(hand=lambda obs: obs["state"][..., :2], objects=lambda obs: {"slot": _slot(obs["state"])}, near=0.01)
    action_space = spaces.Box(np.float32(-0.04), np.float32(0.04), (2,))
    observation_space = spaces.Dict({"state": spaces.Box(np.float32(-1e3), np.float32(1e3), (11,))})
    # x and z of the peg, x of the slot, bias [m]
    start_space = spaces.Box(
        np.array([-0.04, 0.001, -0.02, -BIAS]), np.array([0.04, 0.04, 0.02, BIAS]), dtype=np.float64
    )
    start_low: ClassVar[Array] = np.array([-0.02, 0.02, -SLOT_X, -BIAS])
    start_high: ClassVar[Array] = np.array([0.02, 0.03, SLOT_X, BIAS])
    moved_range = (-0.011, 0.011)  # the expert's targets reach no further
    positions: ClassVar[dict[str, Array]] = {"state": np.array([1.0, 1.0, 0, 0, -1.0, -1.0, 1.0, 0, 0, 0, 0])}

    def disturb(self, by: Disturbance) -> None:
        """Change peg and surfaces; the slot's place is part of the state, and moves in `initial_state`."""
        self.scale_mass("peg", by.mass)
        self.model.geom_friction[:, 0] *= by.friction

    def sample_start(self, rng: np.random.Generator) -> Array:
        """Draw peg, slot and bias [4], all uniform."""
        return rng.uniform(self.start_low, self.start_high)

    def initial_state(self, start: Array) -> tuple[Array, Array]:
        """Peg at rest above the surface, its actuators' targets where it is."""
        x, z, slot, bias = np.moveaxis(start, -1, 0)
        slot = slot + self.disturbance.moved
        physics = self.physics_at(np.stack([x, z, slot, slot + bias], axis=-1))
        self.targets(physics)[...] = start[..., :2]
        return physics, np.tile([np.nan, np.nan, 0.0], (len(start), 1))

    def targets(self, physics: Array) -> Array:
        """View of where the springs pull the peg [..., 2] [m]: the filtered actions."""
        return physics[..., -2:]

    def control(self, action: Array) -> Array:
        """Targets of the two position actuators."""
        return action

    def observe(self, physics: Array, memory: Array) -> dict[str, Array]:
        """Everything but the slot's true place.

        The force is what the springs push with less what the damping takes: the force on the surroundings, but
        for the peg's acceleration.
        """
        xz, velocity = self.qpos(physics)[..., :2], self.qvel(physics)[..., :2]
        spring = STIFFNESS * (self.targets(physics) - xz)
        force = np.clip(spring, -MAX_FORCE, MAX_FORCE) - DAMPING * velocity
        x, z = xz[..., 0], xz[..., 1]
        ahead, touched, end = physics[..., 4] - x, memory[..., 0], memory[..., 2]
        history = [np.where(np.isnan(touched), 0.0, x - touched), end]
        near = [ahead, np.clip(ahead, -0.006, 0.006), np.clip(z, -0.003, 0.003)]
        return {"state": np.concatenate([xz, velocity, np.stack(near, -1), force, np.stack(history, -1)], axis=-1)}

    def update(self, memory: Array, substates: Array) -> Array:
        """Follow the touch through all substeps."""
        n, horizon, substeps = substates.shape[:3]
        x, z, seen = (substates[..., i].reshape(n, -1) for i in (1, 2, 4))
        on_surface = np.abs(z) < TOUCH
        touched = _first(memory[:, 0], on_surface, x)
        slid = x - touched
        strayed = on_surface & (np.abs(slid) > STRAYED)
        direction = _first(memory[:, 1], strayed, np.sign(slid))
        end = _last(memory[:, 2], on_surface & (np.abs(x - seen) > BIAS), np.sign(x - seen))
        return np.stack([touched, direction, end], axis=-1).reshape(n, horizon, substeps, -1)[:, :, -1]

    def outcome(self, physics: Array, memory: Array) -> Outcome:
        """Score and success by depth; an episode cannot fail, its forces are bounded by the actuators'."""
        depth, direction = -physics[..., 2], memory[..., 1]
        return Outcome(
            success=depth > DEPTH,
            failure=np.zeros(depth.shape, bool),
            score=np.clip(depth / DEPTH, 0.0, 1.0),
            mode=np.where(np.isnan(direction), -1, direction > 0.0),
        )

    def plan(self, rng: np.random.Generator, physics: Array, memory: Array) -> Array:
        """Draw the first direction of the search [1], -1 or 1, unless one has begun."""
        return np.where(np.isnan(memory[1]), rng.choice([-1.0, 1.0], size=1), memory[1])

    def expert(self, physics: Array, memory: Array, plan: Array) -> Array:
        """Go straight until the touch; then slide, turning round at the ends of the range, until it drops in."""
        x, z, end = physics[:, 1], physics[:, 2], memory[:, 2]
        direction = np.where(end == 0.0, plan[:, 0], -end)
        lead = LEAD + FRICTION * (self.disturbance.friction - 1.0) * PRESS
        slide = np.stack([x + lead * direction, np.full(len(x), -PRESS)], axis=-1)
        insert = np.stack([x, z - PRESS], axis=-1)
        action = np.where(np.isnan(memory[:, :1]), straight(physics), slide)
        return np.where(z[:, None] < -2 * TOUCH, insert, action)


def _first(before: Array, event: Array, value: Array) -> Array:
    """Running value [n, t] of the first event: `before` [n] where that is not NaN, NaN until there is one."""
    index = np.where(event.any(axis=1), event.argmax(axis=1), event.shape[1])
    happened = np.arange(event.shape[1]) >= index[:, None]
    chosen = np.take_along_axis(value, np.minimum(index, event.shape[1] - 1)[:, None], axis=1)
    return np.where(np.isnan(before)[:, None], np.where(happened, chosen, np.nan), before[:, None])


def _last(before: Array, event: Array, value: Array) -> Array:
    """Running value [n, t] of the last event so far; `before` [n] until there is one."""
    index = np.maximum.accumulate(np.where(event, np.arange(event.shape[1]), -1), axis=1)
    return np.where(index < 0, before[:, None], np.take_along_axis(value, np.maximum(index, 0), axis=1))

"""AvoidField: a rod crosses a random field of cylinders, another one in every episode, without touching any.

    y ^   finish ------------------------------  0.35
      |        o            o        O             number, places and radii of the cylinders are drawn from the
      |   O         o    O       o                 episode's seed, as are mass and damping of the rod; there is
      |       o              o         O           always a way (envs/fields.py)
      |                start                      -0.28
      +--> x

Seeds that nothing was demonstrated from are fields that nobody has seen. `field` names from what they are drawn.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar

import mujoco
import numpy as np
from gymnasium import spaces

from envs.appearance import compiled
from envs.avoid import ADVANCE, FINISH_Y, NUM_POINTS, ROD_RADIUS, START_Y, WALLS
from envs.contacts import touches
from envs.detours import detour
from envs.disturbance import UNDISTURBED, Disturbance
from envs.fields import BOTTOM, KINDS, MARGIN, MAX_CYLINDERS, MAX_RADIUS, SIDE, clearance, sample_field
from envs.paths import ahead
from envs.task import Array, Outcome, Task

SPREAD = np.array([0.02, 0.01])  # of the start [m]
HAND = (0.8, 1.25)  # factors on the rod's mass and damping
GOAL_X = 0.3  # the expert heads for an x in +- this [m]
NUM_SEEN = 8  # cylinders in the observation
HEIGHT = 0.02  # half of a cylinder's [m]


class AvoidField(Task):
    """Action: the rod's target position (x, y) [m].

    Observations: `state`: x, y [m], vx, vy [m/s]; `field` [NUM_SEEN * 3]: x and y from the rod's axis to the axis of
    each of the nearest cylinders and its radius [m], the nearest first. A field has at least `NUM_SEEN`; in one that
    was given explicitly and has fewer, places that are left are 0, 0, 0.
    Start: x, y [m], factors on mass and damping of the rod, and x, y, radius [m] of MAX_CYLINDERS cylinders, of which
    those of radius 0 are not there. Memory: 1 after a contact, and the start's numbers from the factors on.
    Disturbances: `moved` the whole field, `mass` of the rod, `friction` the damping of its actuators, `bias` of x and
    y.

    Args:
        disturbance: How it departs from the task that was demonstrated.
        field: A key of `KINDS`: from what fields are drawn.

    Raises:
        ValueError: There are no such fields, or the task cannot be disturbed like this.
    """

    xml = "avoid_field.xml"
    control_dt = 0.05
    max_steps = 150
    score = "share of the way to the finish line"
    memory_dim = 3 + 3 * MAX_CYLINDERS
    has_expert = True
    expert_noise = 0.003
    options = ("field",)
    symmetry: dict[str, Any] | None = {  # the mirror x -> -x  # noqa: RUF012
        "order": 2,
        "maps": {
            "state": {"matrix": np.diag([-1.0, 1.0, -1.0, 1.0]).tolist(), "offset": [0.0] * 4},
            "field": {"matrix": np.diag([-1.0, 1.0, 1.0] * NUM_SEEN).tolist(), "offset": [0.0] * 3 * NUM_SEEN},
            "action": {"matrix": np.diag([-1.0, 1.0]).tolist(), "offset": [0.0] * 2},
        },
    }
    action_space = spaces.Box(np.float32(-0.4), np.float32(0.4), (2,))
    observation_space = spaces.Dict(
        {
            "state": spaces.Box(np.float32(-1e3), np.float32(1e3), (4,)),
            "field": spaces.Box(np.float32(-2e3), np.float32(2e3), (3 * NUM_SEEN,)),
        }
    )
    start_space = spaces.Box(
        np.array([-0.32, -0.32, *[HAND[0]] * 2, *[-SIDE, BOTTOM, 0.0] * MAX_CYLINDERS]),
        np.array([0.32, -0.26, *[HAND[1]] * 2, *[SIDE, FINISH_Y, MAX_RADIUS] * MAX_CYLINDERS]),
        dtype=np.float64,
    )
    moved_range = (-0.1, 0.1)
    positions: ClassVar[dict[str, Array]] = {"state": np.array([1.0, 1.0, 0.0, 0.0]), "field": np.zeros(3 * NUM_SEEN)}

    def __init__(self, disturbance: Disturbance = UNDISTURBED, field: str = "usual") -> None:
        if field not in list(KINDS):
            raise ValueError(f"field={field!r} is unknown; choose from {', '.join(KINDS)}")
        super().__init__(disturbance)
        self.kind = KINDS[field]
        self._model_with = lru_cache(maxsize=128)(self._compiled_with)

    def disturb(self, by: Disturbance) -> None:
        """Nothing but the symmetry: a scene is disturbed as it is built, `field_of` and `model_of`."""
        if by.moved or by.bias:
            self.symmetry = None

    def field_of(self, memory: Array) -> Array:
        """x, y and radius [..., MAX_CYLINDERS, 3] of the cylinders as they stand."""
        field = memory[..., 3:].reshape(*memory.shape[:-1], MAX_CYLINDERS, 3)
        return field + self.disturbance.moved * np.array([1.0, 0.0, 0.0])

    def model_of(self, memory: Array) -> mujoco.MjModel:
        """The MJCF with the field's cylinders, and the rod with its mass and damping."""
        return self._model_with(memory[1:].tobytes())

    def _compiled_with(self, scene: bytes) -> mujoco.MjModel:
        memory = np.append(0.0, np.frombuffer(scene))
        mass, damping = memory[1:3]
        spec = self.spec.copy()
        for index, (x, y, radius) in enumerate(self.field_of(memory)):
            if radius > 0.0:
                cylinder = spec.geom(f"cylinder{index:02d}")
                cylinder.pos, cylinder.size = [x, y, 0.0], [radius, HEIGHT, 0.0]
        spec.geom("rod").mass *= mass * self.disturbance.mass
        model = compiled(spec)
        # The actuators keep the gains that the undisturbed rod's mass gives them.
        model.actuator_biasprm[:, 2] = self.model.actuator_biasprm[:, 2] * damping * self.disturbance.friction
        return model

    def sample_start(self, rng: np.random.Generator) -> Array:
        """Draw x, y around the start point, the rod's factors and a field: [4 + 3 * MAX_CYLINDERS]."""
        xy = np.array([0.0, START_Y]) + SPREAD * rng.uniform(-1.0, 1.0, 2)
        return np.concatenate([xy, rng.uniform(*HAND, 2), sample_field(rng, self.kind).ravel()])

    def initial_state(self, start: Array) -> tuple[Array, Array]:
        """Rod at rest at the beginning of `start` [n, s]."""
        return self.physics_at(start[:, :2]), np.concatenate([np.zeros((len(start), 1)), start[:, 2:]], axis=1)

    def control(self, action: Array) -> Array:
        """Targets of the two position actuators, kept between the walls."""
        return np.clip(action, WALLS[0], WALLS[1])

    def observe(self, physics: Array, memory: Array) -> dict[str, Array]:
        """Position and velocity, and the nearest cylinders as seen from the rod."""
        xy = self.qpos(physics)
        state = np.concatenate([xy, self.qvel(physics)], axis=-1)
        return {"state": state, "field": nearest(xy, self.field_of(memory))}

    def update(self, memory: Array, substates: Array) -> Array:
        """Remember contacts."""
        after = super().update(memory, substates)
        field = np.repeat(self.field_of(memory)[:, None], substates.shape[1], axis=1)
        hit = touches(clearance, self.qpos(substates), field)
        after[..., 0] = np.logical_or.accumulate(hit, axis=1) | (memory[:, :1] > 0.0)
        return after

    def outcome(self, physics: Array, memory: Array) -> Outcome:
        """Success behind the finish line, failure after a contact; the score is the progress in y."""
        y, hit = self.qpos(physics)[..., 1], memory[..., 0] > 0.0
        score = np.clip((y - START_Y) / (FINISH_Y - START_Y), 0.0, 1.0)
        return Outcome(success=(y >= FINISH_Y) & ~hit, failure=hit, score=score, mode=np.full(y.shape, -1))

    def plan(self, rng: np.random.Generator, physics: Array, memory: Array) -> Array:
        """Draw where to cross the finish line, and on which side to pass what is in the way: [NUM_POINTS, 2]."""
        goal = np.array([rng.uniform(-GOAL_X, GOAL_X), WALLS[1, 1]])
        coins = rng.uniform(size=MAX_CYLINDERS)
        field = self.field_of(memory)
        is_there = field[:, 2] > 0.0
        discs = field[is_there] + np.array([0.0, 0.0, ROD_RADIUS + MARGIN])
        return detour(self.qpos(physics), goal, discs, WALLS, coins[is_there], NUM_POINTS)

    def expert(self, physics: Array, memory: Array, plan: Array) -> Array:
        """The point of the way that lies `ADVANCE` ahead of the way's point nearest to the rod."""
        return ahead(plan, self.qpos(physics), ADVANCE)


class AvoidFieldPixels(AvoidField):
    """AvoidField seen by a camera: `image` uint8 [96, 96, 3] stands in place of `field`."""

    cameras = {"image": "top"}  # noqa: RUF012
    symmetry = None  # an image is not mirrored by a matrix on its channels
    observation_space = spaces.Dict(
        {"image": spaces.Box(0, 255, (96, 96, 3), np.uint8), "state": AvoidField.observation_space["state"]}
    )
    positions: ClassVar[dict[str, Array]] = {"state": AvoidField.positions["state"]}

    def observe(self, physics: Array, memory: Array) -> dict[str, Array]:
        """Position and velocity."""
        return {"state": np.concatenate([self.qpos(physics), self.qvel(physics)], axis=-1)}


def nearest(xy: Array, field: Array) -> Array:
    """The cylinders nearest to `xy` [..., 2]: x, y from there and radius of each, one after the other [..., 3 s].

    Nearest is which surface is nearest; behind those that are there come zeros.
    """
    seen = field.copy()
    seen[..., 0] -= xy[..., None, 0]
    seen[..., 1] -= xy[..., None, 1]
    is_there = seen[..., 2] > 0.0
    away = np.sqrt(np.square(seen[..., 0]) + np.square(seen[..., 1])) - seen[..., 2]
    order = np.argsort(np.where(is_there, away, np.inf), axis=-1, kind="stable")[..., :NUM_SEEN]
    chosen = np.take_along_axis(np.where(is_there[..., None], seen, 0.0), order[..., None], axis=-2)
    return chosen.reshape(*chosen.shape[:-2], 3 * NUM_SEEN)

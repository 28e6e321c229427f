"""The contract of a task: an MJCF and pure functions over arrays of environments.

A task holds no episode. The drivers keep the arrays and hand them in, with leading axes of any shape (written
`...` below: environments n, often also control steps h):

    physics  [..., nstate]  MuJoCo's full physics state: time, qpos, qvel (and act)
    memory   [..., m]       what the task has to remember of the path, and the numbers of a scene that differs from
                            episode to episode; m = memory_dim, often 0
    plan     [n, *p]        what the scripted expert decided at the start of the episode, or when it took over

Every function depends on its arguments alone and treats rows independently, so that an episode depends on its
seed alone, whatever the number of environments and however its steps were grouped into calls. For the same
reason every MJCF disables the solver's warm start, and arrays are combined only by elementwise operations and
reductions over a row's own axes (a matrix product may round differently for another number of rows).
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import mujoco
import numpy as np
from gymnasium import spaces

from envs.appearance import compiled, load_spec
from envs.disturbance import UNDISTURBED, Disturbance
from robolearn.contract import Array, Facts, Scene

ASSETS = Path(__file__).parent / "assets"


class Outcome(NamedTuple):
    """Where an episode stands after a control step; every array has shape [...].

    Attributes:
        success: The task is solved; ends the episode.
        failure: The task can no longer be solved; ends the episode.
        score: Progress in [0, 1]; also the reward.
        mode: Which of the task's `num_modes` ways was taken; -1 while undecided and after a failure.
    """

    success: Array
    failure: Array
    score: Array
    mode: Array


class Task(ABC):
    """One task. A subclass sets the class attributes and implements the functions.

    Args:
        disturbance: How it departs from the task that was demonstrated.

    Raises:
        ValueError: The task cannot be disturbed like this.

    Attributes:
        xml: File under `envs/assets`, with a camera "top", and the solver's warm start and autoreset off.
        control_dt: Seconds per action; a multiple of the MJCF's time step.
        max_steps: Control steps after which an episode is truncated.
        num_modes: How many ways of solving the task are told apart; 0 for none.
        memory_dim: Numbers remembered per environment.
        has_expert: Whether `plan` and `expert` are implemented.
        expert_noise: Standard deviation of the noise on the expert's executed action, in the action's units.
        symmetry: See `Facts`.
        scene: See `Facts`.
        score: What the outcome's score measures, in a few words.
        action_space: Bounds of an action, in physical units; actions outside are clipped.
        observation_space: Finite bounds of every observation key.
        cameras: Observation key of an image [h, w, 3] -> the MJCF's camera that takes it; the drivers draw them.
        views: Names of further cameras of the MJCF, which are drawn for those who ask; see `with_views`.
        options: Names of further arguments of the subclass, which `gymnasium.make` takes as well.
        start_space: Bounds of the numbers that fix an initial state: `reset(options={"start": ...})`. They are
            the same under every disturbance.
        moved_range: `Disturbance.moved` lies between these [m].
        positions: Observation key -> what one meter of bias adds to each of its numbers, [*shape].
        clearance: See `Facts`; None where no keep-out set holds in every episode.
    """

    xml: ClassVar[str]
    control_dt: ClassVar[float]
    max_steps: ClassVar[int]
    num_modes: ClassVar[int] = 0
    memory_dim: ClassVar[int] = 0
    has_expert: ClassVar[bool] = False
    expert_noise: ClassVar[float] = 0.0
    cameras: ClassVar[dict[str, str]] = {}
    views: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[tuple[str, ...]] = ()
    symmetry: dict[str, Any] | None = None
    scene: ClassVar[Scene | None] = None
    score: ClassVar[str]
    action_space: spaces.Box
    observation_space: spaces.Dict
    start_space: spaces.Box
    moved_range: ClassVar[tuple[float, float]]
    positions: ClassVar[dict[str, Array]]

    def __init__(self, disturbance: Disturbance = UNDISTURBED) -> None:
        self.disturbance = disturbance
        self.spec = load_spec(ASSETS / self.xml, disturbance.look)
        self.model = compiled(self.spec)
        self.num_substeps = round(self.control_dt / self.model.opt.timestep)
        flags = self.model.opt.disableflags
        assert np.isclose(self.num_substeps * self.model.opt.timestep, self.control_dt), self.xml
        assert flags & mujoco.mjtDisableBit.mjDSBL_WARMSTART, f"{self.xml}: steps would depend on earlier calls"
        assert flags & mujoco.mjtDisableBit.mjDSBL_AUTORESET, f"{self.xml}: a diverged state would restart by itself"
        low, high = self.moved_range
        if not low < disturbance.moved < high:
            raise ValueError(f"{self.name}: moved={disturbance.moved} is not between {low} and {high} m")
        self.disturb(disturbance)

    def scale_mass(self, body: str, factor: float) -> None:
        """Make a body of the MJCF heavier by `factor`; actuators keep the gains that they have."""
        self.model.body(body).mass *= factor
        self.model.body(body).inertia *= factor
        if factor != 1.0:
            mujoco.mj_setConst(self.model, mujoco.MjData(self.model))

    @property
    def name(self) -> str:
        """Name for messages."""
        return type(self).__name__

    @property
    def facts(self) -> Facts:
        """What the drivers declare."""
        return Facts(
            num_modes=self.num_modes or None,
            symmetry=self.symmetry,
            clearance=self.clearance,
            control_dt=self.control_dt,
            score=self.score,
            has_expert=self.has_expert,
            scene=self.scene,
        )

    def with_views(self, names: Sequence[str]) -> Task:
        """This task, observed by further cameras too: `image_<name>`, of the same size as `image`.

        Raises:
            ValueError: A name is not in `views`.
        """
        for name in names:
            if name not in self.views:
                raise ValueError(f"{self.name} has no view {name!r}; choose from {', '.join(self.views) or 'none'}")
        if not names:
            return self
        seen = copy.copy(self)
        spaces_of = {f"image_{name}": self.observation_space["image"] for name in names}
        seen.observation_space = spaces.Dict({**self.observation_space, **spaces_of})
        seen.cameras = {**self.cameras, **{f"image_{name}": name for name in names}}
        return seen

    # Layout of the physics state

    def qpos(self, physics: Array) -> Array:
        """View of the generalized positions [..., nq]."""
        return physics[..., 1 : 1 + self.model.nq]

    def qvel(self, physics: Array) -> Array:
        """View of the generalized velocities [..., nv]."""
        return physics[..., 1 + self.model.nq : 1 + self.model.nq + self.model.nv]

    def physics_at(self, qpos: Array) -> Array:
        """Physics state [..., nstate] at rest at time 0 with positions `qpos` [..., nq]."""
        num_state = mujoco.mj_stateSize(self.model, mujoco.mjtState.mjSTATE_FULLPHYSICS.value)
        physics = np.zeros((*qpos.shape[:-1], num_state))
        self.qpos(physics)[...] = qpos
        return physics

    def model_of(self, memory: Array) -> mujoco.MjModel:
        """The model of an episode with this memory [m]: here the one of all.

        A task whose scene differs from episode to episode compiles an edited copy of `spec`, of as many elements as
        `model` has; what `disturb` did to `model` is not in it. What is read of the memory must stay as it is from the
        episode's first step to its last.
        """
        return self.model

    # What a task implements

    @abstractmethod
    def disturb(self, by: Disturbance) -> None:
        """Change model and geometry once, before the first episode; bias, latency and look are the drivers' affair."""

    @property
    def clearance(self) -> Callable[[Array], Array] | None:
        """Maps positions xy [..., 2] to their distance [m] from the task's keep-out set [...], negative inside."""
        return None

    @abstractmethod
    def sample_start(self, rng: np.random.Generator) -> Array:
        """Draw the start [s] of one episode, inside `start_space`."""

    @abstractmethod
    def initial_state(self, start: Array) -> tuple[Array, Array]:
        """Turn starts [n, s] into (physics [n, nstate], memory [n, m])."""

    @abstractmethod
    def control(self, action: Array) -> Array:
        """Turn actions [..., a] into ctrl [..., nu].

        A function of the action alone, so that a whole chunk is one call of the physics engine; feedback
        belongs into the MJCF's actuators.
        """

    @abstractmethod
    def observe(self, physics: Array, memory: Array) -> dict[str, Array]:
        """Return the observation but its images: key -> array [..., *shape]; the drivers set the dtype."""

    @abstractmethod
    def outcome(self, physics: Array, memory: Array) -> Outcome:
        """Judge where the episodes stand."""

    def update(self, memory: Array, substates: Array) -> Array:
        """Memory after each of h control steps [n, h, m].

        Args:
            memory: Memory before the first of them [n, m].
            substates: Physics after every substep [n, h, num_substeps, nstate]; the last is the result.
        """
        return np.repeat(memory[:, None], substates.shape[1], axis=1)

    def plan(self, rng: np.random.Generator, physics: Array, memory: Array) -> Array:
        """Draw everything the expert decides for an episode that stands at `physics` [nstate] and `memory` [m].

        That is its start, or where the expert takes over.
        """
        raise NotImplementedError

    def expert(self, physics: Array, memory: Array, plan: Array) -> Array:
        """Return the expert's actions [n, a] for the present states."""
        raise NotImplementedError

"""The two drivers, written once for every task: a plain `gymnasium.Env` and a threaded `VectorEnv`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import load_env_creator
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from envs.cameras import Camera
from envs.checks import (
    RENDER_MODES,
    check_actions,
    check_mask,
    check_options,
    check_render_mode,
    check_size,
    check_started,
)
from envs.disturbance import disturbance_of
from envs.episodes import Episodes, streams_of
from envs.records import EnvState
from envs.task import Task
from robolearn.contract import Array, ChunkResult


class TaskEnv(gymnasium.Env[dict[str, Array], Array]):
    """One environment of a task.

    Args:
        task: The task, or where its class is found: "envs.avoid:Avoid".
        render_mode: "rgb_array" for images from `render()`, else None.
        width: Image width [px].
        height: Image height [px].
        views: Names of the task's further cameras, separated by commas; each adds the observation `image_<name>`.
        kwargs: Of a task that is given by name: the entries of `Disturbance`, and its own `options`.
    """

    metadata = {"render_modes": RENDER_MODES}  # noqa: RUF012 (gymnasium reads it from the class)

    def __init__(
        self,
        task: Task | str,
        render_mode: str | None = None,
        width: int = 256,
        height: int = 256,
        views: str = "",
        **kwargs: Any,
    ) -> None:
        self.task = _load(task, views, kwargs)
        self.metadata = {**self.metadata, "render_fps": round(1 / self.task.control_dt)}
        self.render_mode = check_render_mode(render_mode)
        self.observation_space: spaces.Space[Any] = self.task.observation_space
        self.action_space = self.task.action_space
        self.facts = self.task.facts
        self._episodes = Episodes(self.task, num_envs=1, num_threads=0)
        self._images = _Images(self.task, width, height)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """Start an episode, which depends on `seed` alone; without one the next seed of `np_random` is taken.

        Args:
            seed: Seed, >= 0.
            options: "start": the numbers [s] that fix the initial state, inside the task's `start_space`.
        """
        super().reset(seed=seed)
        start = check_options(options, self.task, (), "start")
        seed = int(self.np_random.integers(2**31)) if seed is None else seed
        self._episodes.start(0, seed, start)
        result = self._episodes.judge()
        return _first(result.obs), _first(result.info)

    def step(self, action: Array) -> tuple[dict[str, Array], float, bool, bool, dict[str, Any]]:
        """Take one control step with `action` [a]; an episode that has ended stands still, with reward 0."""
        action = check_actions(action, self.task, (), self._episodes.state.num_steps)
        result = self._episodes.step_chunk(action[None, None], None)
        return (
            _first(result.obs),
            float(result.rewards[0, 0]),
            bool(result.terminated[0, 0]),
            bool(result.truncated[0, 0]),
            _first(result.info),
        )

    def expert_action(self) -> tuple[Array, Array]:
        """The scripted expert's clean action [a], to be recorded, and the noisy one [a], to be executed."""
        label, executed = self._episodes.expert_action()
        return label[0], executed[0]

    def get_state(self) -> EnvState:
        """The complete state; arrays have a leading axis of 1."""
        return self._episodes.state.copy()

    def set_state(self, state: EnvState) -> None:
        """Continue exactly from a state of `get_state`."""
        self._episodes.restore(state)

    def render(self) -> Array | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Image [height, width, 3], uint8; None without a render mode."""
        return self._images.image(self._episodes, 0) if self.render_mode else None

    def close(self) -> None:
        """Free the renderer."""
        self._images.close()
        self._episodes.close()


class TaskVectorEnv(gymnasium.vector.VectorEnv[dict[str, Array], Array, Array]):
    """n environments of a task on a pool of threads. They never restart by themselves.

    Args:
        num_envs: Number of environments n.
        task: The task, or where its class is found: "envs.avoid:Avoid".
        num_threads: Threads; None for as many as this process has cores.
        render_mode: "rgb_array" for images from `render()`, else None.
        width: Image width [px].
        height: Image height [px].
        num_frames: `step_chunk` draws image observations of the last so many steps only; None draws all, 0 leaves
            images out of the observations.
        views: Names of the task's further cameras, separated by commas; each adds the observation `image_<name>`.
        kwargs: Of a task that is given by name: the entries of `Disturbance`, and its own `options`.
    """

    metadata = {"render_modes": RENDER_MODES, "autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012

    def __init__(
        self,
        num_envs: int,
        task: Task | str,
        num_threads: int | None = None,
        render_mode: str | None = None,
        width: int = 256,
        height: int = 256,
        num_frames: int | None = None,
        views: str = "",
        **kwargs: Any,
    ) -> None:
        self.closed = True  # while there is nothing to close: gymnasium before 1.4 also closes what could not be made
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, got {num_envs}")
        if num_frames is not None and num_frames < 0:
            raise ValueError(f"num_frames must not be negative, got {num_frames}")
        self.task = _load(task, views, kwargs)
        self.metadata = {**self.metadata, "render_fps": round(1 / self.task.control_dt)}
        self.num_envs, self.render_mode = num_envs, check_render_mode(render_mode)
        left_out = self.task.cameras if num_frames == 0 else ()
        self.single_observation_space = spaces.Dict(
            {key: space for key, space in self.task.observation_space.items() if key not in left_out}
        )
        self.single_action_space = self.task.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.facts = self.task.facts
        threads = min(num_envs, _num_cores()) if num_threads is None else num_threads
        self._episodes = Episodes(self.task, num_envs, threads if threads > 1 else 0, num_frames)
        self._images = _Images(self.task, width, height)
        self.closed = False

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """Start episodes, each depending on its own seed alone.

        Args:
            seed: One per environment; an int s stands for s, s + 1, ...; None for the next of `np_random`.
            options: "reset_mask" [n] bool: only these environments start anew; "start" [n, s]: the numbers
                that fix the initial states, inside the task's `start_space`.
        """
        n = self.num_envs
        start = check_options(options, self.task, (n,), "start", "reset_mask")
        mask = check_mask((options or {}).get("reset_mask", np.ones(n, bool)), n, "options['reset_mask']")
        if seed is None or isinstance(seed, (int, np.integer)):
            super().reset(seed=None if seed is None else int(seed))
            seeds = [None if seed is None else int(seed) + i for i in range(n)]
        else:
            seeds = list(seed)
        if len(seeds) != n:
            raise ValueError(f"seed has {len(seeds)} entries for {n} environments")
        for i, given in enumerate(seeds):
            if mask[i]:
                drawn = int(self.np_random.integers(2**31)) if given is None else given
                self._episodes.start(i, drawn, None if start is None else start[i])
        result = self._episodes.judge()
        return _at(result.obs, 0), _at(result.info, 0)

    def step(self, actions: Array) -> tuple[dict[str, Array], Array, Array, Array, dict[str, Any]]:
        """Take one control step with `actions` [n, a]; ended environments stand still, with reward 0."""
        actions = check_actions(actions, self.task, (self.num_envs,), self._episodes.state.num_steps)
        result = self._episodes.step_chunk(actions[:, None], None)
        return (
            _at(result.obs, 0),
            result.rewards[:, 0],
            result.terminated[:, 0],
            result.truncated[:, 0],
            _at(result.info, 0),
        )

    def step_chunk(self, actions: Array, active: Array | None = None) -> ChunkResult:
        """Take up to h control steps open loop, in one call of the physics engine.

        Args:
            actions: Actions [n, h, a], h >= 1; an environment that ends inside the chunk stops there.
            active: Which environments move [n], bool; None for all that have not ended.
        """
        horizon = np.shape(actions)[1] if np.ndim(actions) > 1 else 0
        actions = check_actions(actions, self.task, (self.num_envs, max(horizon, 1)), self._episodes.state.num_steps)
        active = None if active is None else check_mask(active, self.num_envs, "active")
        return self._episodes.step_chunk(actions, active)

    def expert_action(self) -> tuple[Array, Array]:
        """The scripted expert's clean actions [n, a], to be recorded, and the noisy ones, to be executed."""
        return self._episodes.expert_action()

    def take_over(self, mask: Array) -> None:
        """Let the scripted expert go on from where environments are, instead of from where it would have come.

        What it decides depends on the episode's seed and its number of steps; an episode that has ended, or that
        is not in the mask, goes on as if nothing had been asked.

        Args:
            mask: Which environments [n], bool.
        """
        check_started(self.task, self._episodes.state.num_steps)
        self._episodes.take_over(check_mask(mask, self.num_envs, "mask"))

    def starts(self, seeds: Sequence[int]) -> Array:
        """The numbers [n, s] that fix the initial states of these seeds, as `reset` takes them in "start"."""
        return np.stack([self.task.sample_start(streams_of(seed)[0]) for seed in seeds])

    def get_state(self) -> EnvState:
        """The complete state of all environments."""
        return self._episodes.state.copy()

    def set_state(self, state: EnvState) -> None:
        """Continue exactly from a state of `get_state`."""
        self._episodes.restore(state)

    def render(self, index: int | None = None) -> Any:
        """Image [height, width, 3], uint8, of environment `index`; without one, a tuple of all n images."""
        if self.render_mode is None:
            return None
        if index is not None:
            return self._images.image(self._episodes, index)
        return tuple(self._images.image(self._episodes, i) for i in range(self.num_envs))

    def close_extras(self, **kwargs: Any) -> None:
        """Stop the threads and free the renderer."""
        self._images.close()
        self._episodes.close()


class _Images:
    """What the camera "top" sees; it is made when the first image is asked for."""

    def __init__(self, task: Task, width: int, height: int) -> None:
        self._task, self._size = task, check_size(width, height)
        self._camera: Camera | None = None

    def image(self, episodes: Episodes, index: int) -> Array:
        if self._camera is None:
            self._camera = Camera(self._task, *self._size)
        physics, look = np.nan_to_num(episodes.state.physics[index]), int(episodes.state.look[index])
        return self._camera.image(physics, look, episodes.models[index])

    def close(self) -> None:
        if self._camera is not None:
            self._camera.close()
            self._camera = None


def _load(task: Task | str, views: str, kwargs: dict[str, Any]) -> Task:
    assert not kwargs or isinstance(task, str), "a task that is made already has its disturbance and options"
    loaded: Any = task
    if isinstance(task, str):
        creator: Any = load_env_creator(task)
        own = {name: value for name, value in kwargs.items() if name in creator.options}
        disturbance = {name: value for name, value in kwargs.items() if name not in own}
        loaded = creator(disturbance=disturbance_of(disturbance, creator.options), **own)
    return loaded.with_views(views.split(",") if views else [])


def _num_cores() -> int:
    """Cores of this process; who shares them with other processes says by ROBOLEARN_CORES how many are its own."""
    if told := os.environ.get("ROBOLEARN_CORES"):
        return max(1, int(told))
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _first(values: dict[str, Array]) -> dict[str, Any]:
    """Environment 0, step 0: arrays stay arrays, numbers become Python's."""
    return {key: value[0, 0] if value.ndim > 2 else value[0, 0].item() for key, value in values.items()}


def _at(values: dict[str, Array], step: int) -> dict[str, Array]:
    return {key: value[:, step] for key, value in values.items()}

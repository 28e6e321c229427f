"""The arrays behind both drivers: n episodes of one task, started, stepped and judged together.

An environment that has ended stands still until it is started anew. What an environment is, is held in
`EnvState`; everything else (observation, flags, score) is computed from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace

import mujoco
import mujoco.rollout
import numpy as np

from envs.cameras import Cameras
from envs.records import EnvState, Steps, hold, repeat, scatter
from envs.task import Array, Task

# No quantity of a sane state (time [s], positions [m, rad], velocities [m/s, rad/s]) comes near this.
STATE_LIMIT = 1e3


def streams_of(seed: int) -> list[np.random.Generator]:
    """What an episode draws its start from, what its expert draws from, and what its look is drawn from."""
    return np.random.default_rng(seed).spawn(3)


class Episodes:
    """n environments of one task.

    Args:
        task: The task.
        num_envs: How many.
        num_threads: Size of the pool that steps them; 0 for the calling thread.
        num_frames: Of each chunk, only the last so many images are drawn; None for all, 0 for no images at all.

    Attributes:
        state: What the environments are.
        models: The model of each one's episode, a function of its memory.
    """

    def __init__(self, task: Task, num_envs: int, num_threads: int, num_frames: int | None = None) -> None:
        self.task, self.num_envs, self.num_frames = task, num_envs, num_frames
        self._cameras = Cameras(task, num_envs)
        self._data = [mujoco.MjData(task.model) for _ in range(max(num_threads, 1))]
        self._pool = mujoco.rollout.Rollout(nthread=num_threads)
        rng = np.random.default_rng(0)
        physics, memory = task.initial_state(np.stack([task.sample_start(rng)] * num_envs))
        plan = task.plan(rng, physics[0], memory[0]) if task.has_expert else np.zeros(0)
        noise_shape = (task.max_steps, *_action_shape(task)) if task.has_expert else (0, *_action_shape(task))
        self.state = EnvState(
            physics,
            memory,
            num_steps=np.full(num_envs, -1),
            plan=np.zeros((num_envs, *plan.shape)),
            noise=np.zeros((num_envs, *noise_shape)),
            key=np.zeros(num_envs, np.int64),
            look=np.zeros(num_envs, np.int64),
            past=np.zeros((num_envs, task.disturbance.latency, physics.shape[1] + memory.shape[1])),
        )
        self.models = [task.model] * num_envs
        self._ended = np.zeros(num_envs, bool)

    def start(self, index: int, seed: int, start: Array | None) -> None:
        """Start environment `index` anew, from `seed` (and from `start` [s], where given) alone."""
        state = self.state
        start_rng, expert_rng, look_rng = streams_of(seed)
        start = self.task.sample_start(start_rng) if start is None else start
        physics, memory = self.task.initial_state(start[None])
        state.physics[index], state.memory[index], state.num_steps[index] = physics[0], memory[0], 0
        state.past[index] = _joined(physics[0], memory[0])
        self.models[index] = self._model_of(memory[0])
        state.look[index] = look_rng.integers(2**63)
        if self.task.has_expert:
            state.plan[index] = self.task.plan(expert_rng, physics[0], memory[0])
            state.noise[index] = expert_rng.standard_normal(state.noise.shape[1:])
            state.key[index] = expert_rng.integers(2**63)
        self._ended[index] = False

    def restore(self, state: EnvState) -> None:
        """Continue from a copy of `state`.

        Raises:
            ValueError: It belongs to another task or another number of environments.
        """
        for field in fields(EnvState):
            shape, expected = getattr(state, field.name).shape, getattr(self.state, field.name).shape
            if shape != expected:
                raise ValueError(f"{self.task.name}: state.{field.name} has shape {shape}, expected {expected}")
        self.state = state.copy()
        self.models = [self._model_of(memory) for memory in state.memory]
        result = self._stand()
        self._ended = (result.terminated | result.truncated)[:, 0]

    def judge(self) -> Steps:
        """How the environments stand, as a chunk of one step in which nothing moved."""
        return self._with_images(self._stand())

    def step_chunk(self, actions: Array, active: Array | None) -> Steps:
        """Take up to h control steps with `actions` [n, h, a] where `active` [n] and not ended."""
        moving = ~self._ended if active is None else active & ~self._ended
        index = np.flatnonzero(moving)
        if len(index) == self.num_envs:
            return self._with_images(self._advance(index, actions))
        result = repeat(self._stand(), actions.shape[1])
        if len(index):
            scatter(self._advance(index, actions[index]), result, index)
        return self._with_images(result)

    def expert_action(self) -> tuple[Array, Array]:
        """The expert's clean actions [n, a] and the same with its noise, to be executed."""
        task, state = self._task_with_expert(), self.state
        physics, _ = _sane(state.physics)
        label = _clip(task, task.expert(physics, state.memory, state.plan))
        step = np.clip(state.num_steps, 0, task.max_steps - 1)
        noise = state.noise[np.arange(self.num_envs), step]
        return label, _clip(task, label + task.expert_noise * noise)

    def take_over(self, mask: Array) -> None:
        """Let the expert plan anew from the present states of the environments `mask` [n] that have not ended."""
        task, state = self._task_with_expert(), self.state
        for i in np.flatnonzero(mask & ~self._ended):
            rng = np.random.default_rng([state.key[i], state.num_steps[i]])
            state.plan[i] = task.plan(rng, state.physics[i], state.memory[i])

    def close(self) -> None:
        """Stop the threads and free the cameras."""
        self._pool.close()
        self._cameras.close()

    def _model_of(self, memory: Array) -> mujoco.MjModel:
        """The model of an episode, which the data that were made for the task's own must fit."""
        model = self.task.model_of(memory)
        assert model.signature == self.task.model.signature, f"{self.task.name}: a scene with other elements"
        return model

    def _task_with_expert(self) -> Task:
        if not self.task.has_expert:
            raise ValueError(f"{self.task.name} has no scripted expert")
        return self.task

    def _stand(self) -> Steps:
        state = self.state
        present = _joined(state.physics, state.memory)[:, None]
        seen = np.concatenate([state.past, present], axis=1)[:, :1]
        result = self._judge(state.physics[:, None], state.memory[:, None], state.num_steps[:, None], seen)
        return replace(result, rewards=np.zeros((self.num_envs, 1)), num_steps=np.zeros(self.num_envs, np.int64))

    def _with_images(self, result: Steps) -> Steps:
        """Draw the images of the last `num_frames` real steps."""
        if not self.task.cameras or self.num_frames == 0:
            return result
        horizon = result.seen.shape[1]
        count = min(self.num_frames or horizon, horizon)
        steps = np.maximum(result.num_steps - count, 0)[:, None] + np.arange(count)
        seen = np.take_along_axis(result.seen, steps[..., None], axis=1)
        images = self._cameras.draw(seen, self.state.look, self.models)
        return replace(result, obs={**result.obs, **images})

    def _advance(self, index: Array, actions: Array) -> Steps:
        """Step the environments `index` [m] with `actions` [m, h, a], each up to its end."""
        state, rows, horizon = self.state, np.arange(len(index)), actions.shape[1]
        latency = self.task.disturbance.latency
        present = _joined(state.physics[index], state.memory[index])[:, None]
        substates = self._simulate([self.models[i] for i in index], state.physics[index], actions)
        physics = substates[:, :, -1]
        memory = self.task.update(state.memory[index], substates)
        num_steps = state.num_steps[index, None] + np.arange(1, horizon + 1)
        path = np.concatenate([state.past[index], present, _joined(physics, memory)], axis=1)
        result = self._judge(physics, memory, num_steps, path[:, 1 : 1 + horizon])
        ended = result.terminated | result.truncated
        last = np.where(ended.any(axis=1), ended.argmax(axis=1), horizon - 1)
        state.physics[index], state.memory[index] = physics[rows, last], memory[rows, last]
        state.past[index] = path[rows[:, None], 1 + last[:, None] + np.arange(latency)]
        state.num_steps[index] += last + 1
        self._ended[index] = ended[rows, last]
        result = replace(result, num_steps=last + 1)
        if (last < horizon - 1).any():
            hold(result, last)
        return result

    def _simulate(self, models: list[mujoco.MjModel], physics: Array, actions: Array) -> Array:
        """Physics [m, h, num_substeps, nstate] after every substep; NaN from a diverging step on."""
        task = self.task
        (m, horizon), substeps = actions.shape[:2], task.num_substeps
        broken = np.logical_not(np.isfinite(actions).all(axis=2))
        control = task.control(_clip(task, np.where(broken[..., None], 0.0, actions)))
        control = np.repeat(control.astype(np.float64, copy=False), substeps, axis=1)
        substates = np.empty((m, horizon * substeps, physics.shape[1]))
        with _quiet():
            self._pool.rollout(
                models,
                self._data,
                physics,
                control,
                nstep=horizon * substeps,
                state=substates,
                skip_checks=True,
            )
        substates = substates.reshape(m, horizon, substeps, -1)
        # MuJoCo freezes a diverged state, whose clock then stands behind.
        clock = physics[:, :1] + task.control_dt * np.arange(1, horizon + 1)
        broken |= ~(np.abs(substates[:, :, -1, 0] - clock) < task.control_dt / 2)
        broken |= _beyond(substates.reshape(m, horizon, -1))
        if broken.any():
            substates[np.logical_or.accumulate(broken, axis=1)] = np.nan
        return substates

    def _judge(self, physics: Array, memory: Array, num_steps: Array, seen: Array) -> Steps:
        """Flags and score of states [n, h, ...] after `num_steps` [n, h], and what `seen` [n, h, nstate + m] shows."""
        task = self.task
        physics, unstable = _sane(physics)
        shown, shown_memory = _sane(seen[..., : physics.shape[-1]])[0], seen[..., physics.shape[-1] :]
        success, failure, score, mode = task.outcome(physics, memory)
        success = success & ~unstable
        terminated = success | failure | unstable
        obs = task.observe(shown, shown_memory)
        if bias := task.disturbance.bias:
            obs = {key: value + bias * task.positions[key] for key, value in obs.items()}
        obs = {key: np.asarray(value, task.observation_space[key].dtype) for key, value in obs.items()}
        info = {
            "success": success,
            "score": np.where(unstable, 0.0, score),
            "mode": np.where(unstable, -1, mode),
            "unstable": unstable,
        }
        truncated = (num_steps >= task.max_steps) & ~terminated
        return Steps(obs, info["score"].copy(), terminated, truncated, num_steps[:, -1], info, physics, shown)


def _action_shape(task: Task) -> tuple[int, ...]:
    return task.action_space.shape


def _joined(physics: Array, memory: Array) -> Array:
    """Physics and memory of one moment [..., nstate + m]."""
    return np.concatenate([physics, memory], axis=-1)


def _clip(task: Task, actions: Array) -> Array:
    return np.clip(actions, task.action_space.low, task.action_space.high)


def _sane(physics: Array) -> tuple[Array, Array]:
    """Physics with zeros in place of diverged states, and which states those are [...]."""
    unstable = _beyond(physics)
    if unstable.any():
        physics = np.where(unstable[..., None], 0.0, physics)
    return physics, unstable


def _beyond(values: Array) -> Array:
    """Which rows [...] of `values` [..., k] no sane state has; hardly ever there is one, and that is told at once."""
    within = np.abs(values) < STATE_LIMIT
    return np.zeros(within.shape[:-1], bool) if within.all() else np.logical_not(within.all(axis=-1))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep MuJoCo from reporting a divergence on stderr and in MUJOCO_LOG.TXT: the result carries it."""
    mujoco.set_mju_user_warning(lambda _: None)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(None)

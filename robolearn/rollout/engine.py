"""Rolls a policy out: many episodes over a fixed number of environments, each episode as if it were alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from robolearn.rollout.chunked import Chunk, ChunkedEnvs
from robolearn.rollout.controller import Controller
from robolearn.types import Array, Trajectory, is_image


def rollout(
    envs: ChunkedEnvs,
    controller: Controller,
    episodes: Sequence[int],
    *,
    repeats: int = 1,
    max_steps: int | None = None,
    on_done: Callable[[Trajectory], Any] | None = None,
) -> list[Trajectory]:
    """Run episodes; a free environment takes the next one at the next replanning.

    Args:
        envs: Environments; episode i starts from ``reset(seed=controller.seed + i // repeats)``.
        controller: Drives them.
        episodes: Indices of the episodes.
        repeats: Episodes that share an initial state, each with its own noise.
        max_steps: Cut an episode there; by default only where the environment does.
        on_done: Called with every finished trajectory, in the order in which they finish.

    Returns:
        Trajectories in the order of ``episodes``. One depends on (controller.seed, its index) alone.
    """
    waiting = list(episodes)[::-1]
    running: list[Recorder | None] = [None] * envs.num_envs
    done: dict[int, Trajectory] = {}

    def finish(slot: int, reason: str | None = None) -> None:
        recorder, running[slot] = running[slot], None
        assert recorder is not None
        trajectory = recorder.finish(reason, controller.signals(slot))
        done[trajectory.episode] = trajectory
        if on_done is not None:
            on_done(trajectory)

    while waiting or any(running):
        for slot in _start(envs, controller, waiting, running, repeats):
            finish(slot, _error(envs, slot))
        active = np.array([recorder is not None for recorder in running])
        if not active.any():
            continue
        actions = controller.act(active)
        for slot in np.flatnonzero(active & controller.stopped).tolist():
            finish(slot, "stopped")
        active &= ~controller.stopped
        chunk = envs.step_chunk(actions, active)
        controller.observe(chunk.obs, chunk.num_steps)
        for slot in np.flatnonzero(active).tolist():
            recorder = running[slot]
            assert recorder is not None
            if recorder.record(actions[slot], chunk, slot, max_steps) or _error(envs, slot):
                finish(slot, _error(envs, slot))
    return [done[episode] for episode in episodes]


def _start(
    envs: ChunkedEnvs, controller: Controller, waiting: list[int], running: list[Recorder | None], repeats: int
) -> list[int]:
    """Begin waiting episodes in the free slots; return the slots whose reset broke."""
    slots = [slot for slot, recorder in enumerate(running) if recorder is None][: len(waiting)]
    if not slots:
        return []
    begun = [waiting.pop() for _ in slots]
    starts = [controller.seed + episode // repeats for episode in begun]
    seeds: list[int | None] = [None] * envs.num_envs
    mask = np.zeros(envs.num_envs, bool)
    for slot, start in zip(slots, starts, strict=True):
        seeds[slot], mask[slot] = start, True
    obs, _ = envs.reset(seed=seeds, options={"reset_mask": mask})
    controller.reset(slots, begun, obs)
    for slot, episode, start in zip(slots, begun, starts, strict=True):
        # Images would fill the memory, and a replay shows them again.
        kept = (key for key, shape in controller.policy.cfg.obs_shapes.items() if not is_image(shape))
        first = {key: np.array(obs[key][slot]) for key in kept}
        running[slot] = Recorder(episode, start, first, controller.policy.cfg.action_dim)
    return [slot for slot in slots if _error(envs, slot)]


def _error(envs: ChunkedEnvs, slot: int) -> str | None:
    """Why an environment broke, where it tells."""
    return getattr(envs, "errors", {slot: None})[slot]


@dataclass
class Recorder:
    """Collects one trajectory."""

    episode: int
    seed: int
    first_obs: dict[str, Array]
    action_dim: int
    parts: list[tuple[dict[str, Array], Array, Array, Array]] = field(default_factory=list)
    length: int = 0
    success: bool = False
    mode: int = -1
    reason: str = "time"

    def record(self, actions: Array, chunk: Chunk, slot: int, max_steps: int | None) -> bool:
        """Take over the valid steps of a chunk; return whether the episode has ended."""
        count = int(chunk.num_steps[slot])
        if max_steps is not None:
            count = min(count, max_steps - self.length)
        valid = (slot, slice(0, count))
        obs = {key: np.array(chunk.obs[key][valid]) for key in self.first_obs}
        self.parts.append((obs, actions[:count].copy(), chunk.rewards[valid].copy(), chunk.info["score"][valid].copy()))
        self.length += count
        self.success |= bool(chunk.info["success"][valid].any())
        if count:
            self.mode = int(chunk.info["mode"][slot, count - 1])
        terminated = bool(chunk.terminated[valid].any())
        unstable = bool(chunk.info["unstable"][valid].any())
        if unstable:
            self.success, self.reason = False, "unstable"
        elif self.success:
            self.reason = "success"
        elif terminated:
            self.reason = "failure"
        return terminated or unstable or bool(chunk.truncated[valid].any()) or self.length == max_steps

    def finish(self, error: str | None, signals: dict[str, Array]) -> Trajectory:
        """Join the parts; an error makes it a failure."""
        obs = {
            key: np.concatenate([first[None], *(part[0][key] for part in self.parts)])
            for key, first in self.first_obs.items()
        }
        no_actions = np.zeros((0, self.action_dim), np.float32)
        actions = np.concatenate([no_actions, *(part[1] for part in self.parts)])
        rewards = np.concatenate([np.zeros(0), *(part[2] for part in self.parts)])
        scores = np.concatenate([np.zeros(0), *(part[3] for part in self.parts)])
        return Trajectory(
            episode=self.episode,
            seed=self.seed,
            obs=obs,
            actions=actions,
            rewards=rewards,
            scores=scores,
            success=self.success and error is None,
            mode=self.mode,
            reason=error or self.reason,
            signals=signals,
        )

"""Rolls an actor out: many episodes over a fixed number of environments, each episode as if it were alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool

from robolearn.contract import ChunkResult
from robolearn.rollout.actor import Actor
from robolearn.rollout.chunked import ChunkedEnvs, reset_some
from robolearn.rollout.spent import TimeSpent
from robolearn.types import BROKEN, Array, Trajectory, is_image


def run_episodes(
    envs: ChunkedEnvs,
    controller: Actor,
    episodes: Sequence[int],
    *,
    repeats: int = 1,
    max_steps: int | None = None,
    on_done: Callable[[Trajectory], Any] | None = None,
    spent: TimeSpent | None = None,
) -> list[Trajectory]:
    """Run episodes; a free environment takes the next one at the next replanning.

    Args:
        envs: Environments; episode i starts from ``reset(seed=controller.seed + i // repeats)``.
        controller: Drives them.
        episodes: Indices of the episodes.
        repeats: Episodes that share an initial state, each with its own noise.
        max_steps: Cut an episode there; by default only where the environment does.
        on_done: Called with every finished trajectory, in the order in which they finish.
        spent: Takes down what goes to the policy, to physics and to bookkeeping.

    Returns:
        Trajectories in the order of ``episodes``. One depends on (controller.seed, its index) alone.
    """
    spent = spent or TimeSpent()
    waiting, slots = list(episodes)[::-1], Slots(envs, controller, max_steps, on_done, spent)
    with spent.on("bookkeeping"):
        while waiting or slots.recorders:
            slots.begin(waiting, repeats)
            if slots.active.any():
                slots.advance()
    return [slots.done[episode] for episode in episodes]


@dataclass
class Slots:
    """Which episode runs in which environment, and the trajectories of those that are done.

    Attributes:
        envs: Environments, a slot each.
        controller: Drives them.
        max_steps: See run_episodes.
        on_done: See run_episodes.
        spent: See run_episodes.
        recorders: Slot -> the episode that runs in it.
        done: Episode -> trajectory.
    """

    envs: ChunkedEnvs
    controller: Actor
    max_steps: int | None
    on_done: Callable[[Trajectory], Any] | None
    spent: TimeSpent
    recorders: dict[int, Recorder] = field(default_factory=dict)
    done: dict[int, Trajectory] = field(default_factory=dict)

    @property
    def active(self) -> Bool[Array, " n"]:
        """Whether an episode runs in each slot."""
        return np.array([slot in self.recorders for slot in range(self.envs.num_envs)])

    def begin(self, waiting: list[int], repeats: int) -> None:
        """Begin waiting episodes in the free slots; one whose reset breaks is done at once."""
        slots = np.flatnonzero(~self.active).tolist()[: len(waiting)]
        if not slots:
            return
        begun = [waiting.pop() for _ in slots]
        controller, cfg = self.controller, self.controller.cfg
        seeds = {slot: controller.seed + episode // repeats for slot, episode in zip(slots, begun, strict=True)}
        with self.spent.on("physics"):
            obs, starts = reset_some(self.envs, seeds)
        controller.reset(slots, begun, obs)
        # Images would fill the memory, and a replay shows them again.
        kept = [key for key, shape in cfg.obs_shapes.items() if not is_image(shape)]
        for slot, episode in zip(slots, begun, strict=True):
            first = {key: np.array(obs[key][slot]) for key in kept}
            stops = self.envs.cfg.stops
            self.recorders[slot] = Recorder(episode, seeds[slot], starts[slot], first, cfg.action_dim, stops)
        for slot in slots:
            if self.envs.faults[slot]:
                self.finish(slot)

    def advance(self) -> None:
        """Plan for all that run, and execute it."""
        controller, active = self.controller, self.active
        with self.spent.on("policy"):
            actions = controller.act(active)
        for slot in np.flatnonzero(active & controller.stopped).tolist():
            self.finish(slot, "stopped")
        active &= ~controller.stopped
        with self.spent.on("physics"):
            actions, chunk = controller.step(self.envs, actions, active)
        controller.observe(chunk.obs, chunk.num_steps)
        for slot in np.flatnonzero(active).tolist():
            self.record(slot, actions[slot], chunk)

    def record(self, slot: int, actions: Array, chunk: ChunkResult) -> None:
        """Take over what a chunk led to in a slot, whose episode may be done with it."""
        if self.recorders[slot].record(actions, chunk, slot, self.max_steps) or self.envs.faults[slot]:
            self.finish(slot)

    def finish(self, slot: int, reason: str | None = None) -> None:
        """Hand over the trajectory of a slot, and free it."""
        recorder = self.recorders.pop(slot)
        recorder.reason = reason or recorder.reason
        trajectory = recorder.finish(self.envs, self.envs.faults[slot], self.controller.signals(slot))
        self.done[trajectory.episode] = trajectory
        if self.on_done is not None:
            self.on_done(trajectory)


@dataclass
class Recorder:
    """Collects one trajectory."""

    episode: int
    seed: int
    start: str
    first_obs: dict[str, Array]
    action_dim: int
    stops: bool = False
    parts: list[tuple[dict[str, Array], Array, Array, Array]] = field(default_factory=list)
    length: int = 0
    success: bool = False
    mode: int = -1
    reason: str = "time"
    ended: bool = False

    def record(self, actions: Array, chunk: ChunkResult, slot: int, max_steps: int | None) -> bool:
        """Take over the valid steps of a chunk; return whether the episode has ended."""
        count = int(chunk.num_steps[slot])
        if max_steps is not None:
            count = min(count, max_steps - self.length)
        if self.stops and chunk.info["success"][slot, :count].any():
            count = int(np.argmax(chunk.info["success"][slot])) + 1
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
        self.ended = terminated or unstable or (self.stops and self.success)
        return self.ended or bool(chunk.truncated[valid].any()) or self.length == max_steps

    def finish(self, envs: ChunkedEnvs, fault: str | None, signals: dict[str, Array]) -> Trajectory:
        """Join the parts; a fault of the environment makes it broken, and without word of success nothing failed."""
        tells_success = envs.tells_success
        self.reason = "terminated" if self.reason == "failure" and not tells_success else self.reason
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
            success=self.success and fault is None,
            mode=self.mode if fault is None else -1,
            reason=self.reason if fault is None else f"{BROKEN}{fault}",
            signals=signals,
            start=self.start,
            broken=fault is not None,
            tells_success=tells_success,
            ended=self.ended,
            clipped=envs.clipped(actions),
        )

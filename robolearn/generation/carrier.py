"""Demonstrations as what acts in the engine's episodes: each episode is one of them, carried over to its start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from robolearn.contract import ChunkResult, Scene
from robolearn.generation.follow import Follower
from robolearn.generation.order import Order
from robolearn.generation.segments import Segment
from robolearn.images import ImageLayout
from robolearn.rollout.chunked import ChunkedEnvs
from robolearn.types import Array, Episode


@dataclass(frozen=True)
class Recorded:
    """What is recorded of every step, and what the demonstrations have.

    Attributes:
        obs_shapes: Key -> shape of an observation.
        action_dim: Numbers of an action.
    """

    obs_shapes: dict[str, tuple[int, ...]]
    action_dim: int
    obs_horizon: int = field(default=1, init=False)
    images: dict[str, ImageLayout] = field(default_factory=dict, init=False)


@dataclass
class _Attempt:
    """An episode, while it runs."""

    source: int
    follower: Follower
    noise: np.random.Generator
    obs: list[dict[str, Array]] = field(default_factory=list)
    actions: list[Array] = field(default_factory=list)


class Carrier:
    """Carries demonstrations over in n environments.

    Episode i is attempt i % tries at start i // tries. The attempts at a start take the demonstrations in an order that
    depends on the start alone, and begin anew behind the last one; so an episode depends on (seed, i) alone.

    Args:
        sources: Segments of each demonstration.
        scene: Of the environment.
        cfg: What is recorded.
        num_envs: Environments.
        seed: Of the first start.
        tries: Attempts at a start.
        noise: Standard deviation of what is added to the first d numbers of each action as it is executed; recorded
            is the action without it.
        order: In which the attempts at a start take the demonstrations.
    """

    def __init__(
        self,
        sources: Sequence[Sequence[Segment]],
        scene: Scene,
        cfg: Recorded,
        num_envs: int,
        *,
        seed: int,
        tries: int,
        noise: float,
        order: Order,
    ):
        self.sources, self.scene, self.cfg, self.seed = sources, scene, cfg, seed
        self.tries, self.noise, self.order = tries, noise, order
        self.stopped = np.zeros(num_envs, bool)
        self._attempts: dict[int, _Attempt] = {}
        self._slots: dict[int, int] = {}
        self._seen: dict[int, dict[str, Array]] = {}

    def reset(self, slots: Sequence[int], episodes: Sequence[int], obs: dict[str, Array]) -> None:
        """Choose a demonstration for each episode that begins."""
        for slot, episode in zip(slots, episodes, strict=True):
            start, attempt = divmod(episode, self.tries)
            seen = {key: rows[slot].copy() for key, rows in obs.items()}
            order = self.order(start, seen)
            source = int(order[attempt % len(order)])
            noise = np.random.default_rng([self.seed, start, attempt + 1])
            self._attempts[episode] = _Attempt(source, Follower(self.sources[source], self.scene), noise)
            self._slots[slot], self._seen[slot] = episode, seen

    def act(self, active: Array) -> Array:
        """One action for each active environment [n, 1, a], as it is recorded."""
        actions = np.zeros((len(active), 1, self.cfg.action_dim), np.float32)
        for slot in np.flatnonzero(active).tolist():
            attempt, seen = self._attempts[self._slots[slot]], self._seen[slot]
            actions[slot, 0] = attempt.follower.act(seen)
            attempt.obs.append(seen)
            attempt.actions.append(actions[slot, 0])
        return actions

    def step(self, envs: ChunkedEnvs, actions: Array, active: Array) -> tuple[Array, ChunkResult]:
        """Execute actions with noise; return them as they are recorded."""
        executed = actions.copy()
        for slot in np.flatnonzero(active).tolist():
            attempt = self._attempts[self._slots[slot]]
            dim = attempt.follower.dim
            executed[slot, 0, :dim] += self.noise * attempt.noise.standard_normal(dim)
        return actions, envs.step_chunk(executed, active)

    def observe(self, obs: dict[str, Array], num_steps: Array) -> None:
        """Remember where the episodes stand."""
        for slot in np.flatnonzero(num_steps).tolist():
            self._seen[slot] = {key: rows[slot, 0].copy() for key, rows in obs.items()}

    def attach(self, envs: ChunkedEnvs) -> None:
        """Nothing is needed but steps."""

    def signals(self, slot: int) -> dict[str, Array]:
        """Nothing is noted."""
        return {}

    def take(self, episode: int, mode: int) -> Episode:
        """Hand over what an episode has recorded, of which demonstration it is, and at which attempt it succeeded."""
        attempt = self._attempts.pop(episode)
        obs = {key: np.stack([seen[key] for seen in attempt.obs]) for key in self.cfg.obs_shapes}
        start = self.seed + episode // self.tries
        made = {"source_episode": attempt.source, "attempts": episode % self.tries + 1}
        attrs = {"seed": start, "success": True, "mode": mode, **made}
        return Episode(obs, np.stack(attempt.actions), attrs)

    def drop(self, episode: int) -> None:
        """Forget an episode."""
        del self._attempts[episode]

"""What the engine rolls out: a policy in its controller, or demonstrations that are carried over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from robolearn.contract import ChunkResult
from robolearn.images import ImageLayout
from robolearn.rollout.chunked import ChunkedEnvs
from robolearn.types import Array


@runtime_checkable
class Senses(Protocol):
    """What an actor sees and does; a policy's configuration says so."""

    @property
    def obs_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Of one observation, by key."""
        ...

    @property
    def obs_horizon(self) -> int:
        """Images of so many steps are shown to it."""
        ...

    @property
    def action_dim(self) -> int:
        """Numbers of an action."""
        ...

    @property
    def images(self) -> Mapping[str, ImageLayout]:
        """How images were recorded that are not bytes with channels last."""
        ...


@runtime_checkable
class Actor(Protocol):
    """Drives n environments; see Controller, which says what its methods do."""

    @property
    def cfg(self) -> Senses:
        """What it sees and does."""
        ...

    @property
    def seed(self) -> int:
        """Of the first episode."""
        ...

    @property
    def stopped(self) -> Array:
        """Environments whose episode is to end now, bool [n]."""
        ...

    def reset(self, slots: Sequence[int], episodes: Sequence[int], obs: dict[str, Array]) -> None:
        """Begin episodes in some environments."""
        ...

    def act(self, active: Array) -> Array:
        """The next actions [n, h, a]."""
        ...

    def observe(self, obs: dict[str, Array], num_steps: Array) -> None:
        """Remember what they led to."""
        ...

    def attach(self, envs: ChunkedEnvs) -> None:
        """Take from the environments what is needed of them."""
        ...

    def step(self, envs: ChunkedEnvs, actions: Array, active: Array) -> tuple[Array, ChunkResult]:
        """Execute them; return those to be recorded, and what they led to."""
        ...

    def signals(self, slot: int) -> dict[str, Array]:
        """What was noted in an environment's episode."""
        ...

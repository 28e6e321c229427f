"""What acts in the episodes of a plan run: actions at random, or the beginnings of plans."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from robolearn.contract import ChunkResult
from robolearn.planning.senses import Senses
from robolearn.rollout.chunked import ChunkedEnvs
from robolearn.types import Array

Decide = Callable[[Array], Array]


class Deciding:
    """Drives one environment by a function from states [s] to actions [a].

    Args:
        cfg: What it sees and does.
        seed: Of the first episode.
        begin: Gives the function for an episode, by its number.
    """

    def __init__(self, cfg: Senses, seed: int, begin: Callable[[int], Decide]):
        self.cfg, self.seed, self.begin = cfg, seed, begin
        self.stopped = np.zeros(1, bool)

    def reset(self, slots: Sequence[int], episodes: Sequence[int], obs: dict[str, Array]) -> None:
        """See Controller."""
        self._state = self.cfg.state(obs)[0]
        self._decide = self.begin(episodes[0])

    def act(self, active: Array) -> Array:
        """See Controller."""
        return self._decide(self._state)[None, None]

    def step(self, envs: ChunkedEnvs, actions: Array, active: Array) -> tuple[Array, ChunkResult]:
        """See Controller."""
        return actions, envs.step_chunk(actions, active)

    def observe(self, obs: dict[str, Array], num_steps: Array) -> None:
        """See Controller."""
        if num_steps[0]:
            self._state = self.cfg.state(obs)[0, 0]

    def attach(self, envs: ChunkedEnvs) -> None:
        """Nothing is needed but steps."""

    def signals(self, slot: int) -> dict[str, Array]:
        """Nothing is noted."""
        return {}

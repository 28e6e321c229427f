"""Episodes rolled out here, or in groups wherever there is room; those that finished are kept: a kill loses few."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

from robolearn.errors import remark
from robolearn.mapper import Mapper, Needs
from robolearn.rollout.kept import KeptEpisodes
from robolearn.rollout.spent import TimeSpent
from robolearn.types import Trajectory

Group = tuple[list[Trajectory], tuple[str, ...]]
"""Trajectories, and what info held."""
MOST_ROUNDS = 8  # episodes of a group, for each environment: what a lost node loses


@runtime_checkable
class RollsOut(Protocol):
    """What rolls a group of episodes out; see Rolled."""

    @property
    def num_envs(self) -> int:
        """Environments of a group."""
        ...

    @property
    def needs(self) -> Needs:
        """What a group takes."""
        ...

    def check(self, needs_seeds: bool) -> None:
        """Say here what is odd about the environment."""
        ...

    def out(
        self,
        episodes: Sequence[int],
        on_done: Callable[[Trajectory], Any] | None = None,
        *,
        needs_seeds: bool = False,
        checked: bool = False,
        spent: TimeSpent | None = None,
    ) -> Group:
        """Trajectories, and what info held."""
        ...


@dataclass(frozen=True)
class Spread:
    """Where episodes are rolled out.

    Attributes:
        mapper: Wherever there is room; None for here.
        kept: Where those that finished are kept, and found again.
    """

    mapper: Mapper | None
    kept: KeptEpisodes

    def out(
        self,
        rolled: RollsOut,
        episodes: Sequence[int],
        on_done: Callable[[Trajectory], Any] | None = None,
        *,
        needs_seeds: bool = False,
        spent: TimeSpent | None = None,
    ) -> Group:
        """Roll out what is not kept yet.

        Args:
            rolled: Rolls a group out.
            episodes: Indices.
            on_done: Called with every finished trajectory, elsewhere of a group together.
            needs_seeds: See roll_out.
            spent: See roll_out.
        """
        note = on_done or (lambda _: None)
        kept, info_keys = {t.episode: t for t in self.kept.load()}, self.kept.info_keys
        done = {episode: kept[episode] for episode in episodes if episode in kept}
        if done:
            remark(
                f"{len(done)} episodes that had finished are in {self.kept.directory}; they are not rolled out again"
            )
        for trajectory in done.values():
            note(trajectory)
        missing = [episode for episode in episodes if episode not in done]
        if self.mapper is None and missing:
            here = partial(rolled.out, needs_seeds=needs_seeds, spent=spent)
            groups = self._here(here, missing, rolled.num_envs, note)
        else:
            rolled.check(needs_seeds)
            groups = self._elsewhere(rolled, missing, note)
        with closing(groups):
            for group in groups:
                trajectories, info_keys = group
                done |= {t.episode: t for t in trajectories}
        return [done[episode] for episode in episodes], info_keys

    def _elsewhere(
        self, rolled: RollsOut, episodes: Sequence[int], note: Callable[[Trajectory], Any]
    ) -> Generator[Group, None, None]:
        """Groups as they finish and are kept; of no episodes none."""
        if self.mapper is None:
            return
        groups = cut(episodes, rolled.num_envs, self.mapper.places(rolled.needs))
        with closing(self.mapper.map(_roll_out, rolled, groups, rolled.needs)) as jobs:
            for _, (trajectories, info_keys) in jobs:
                self.kept.add(trajectories, info_keys)
                for trajectory in trajectories:
                    note(trajectory)
                yield trajectories, info_keys

    def _here(
        self, out: Callable[..., Group], episodes: Sequence[int], size: int, note: Callable[[Trajectory], Any]
    ) -> Generator[Group, None, None]:
        """All in the same environments, and as many in a file as there are of these."""
        waiting, info_keys = list[Trajectory](), ()

        def take(trajectory: Trajectory) -> None:
            if len(waiting) >= size:  # the last ones wait for what info held
                keep()
            waiting.append(trajectory)
            note(trajectory)

        def keep() -> None:
            self.kept.add(waiting, info_keys)
            waiting.clear()

        try:
            trajectories, info_keys = out(episodes, take)
        finally:
            keep()
        yield trajectories, info_keys


def cut(episodes: Sequence[int], num_envs: int, places: int) -> Iterator[list[int]]:
    """Groups of whole rounds of environments: fewer rows cost a policy as much as `num_envs`, see Controller.

    There are at least two groups per place where that leaves a round for each, so that a slow place does less.
    """
    rounds = min(MOST_ROUNDS, max(1, len(episodes) // (2 * places * num_envs)))
    size = rounds * num_envs
    for first in range(0, len(episodes), size):
        yield list(episodes[first : first + size])


def _roll_out(rolled: RollsOut, episodes: list[int]) -> Group:
    return rolled.out(episodes, checked=True)

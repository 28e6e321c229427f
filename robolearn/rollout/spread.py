"""Episodes rolled out in groups, wherever there is room; those that finished are kept, so that a kill loses few."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from robolearn.mapper import Mapper, Needs
from robolearn.rollout.kept import KeptEpisodes
from robolearn.types import Trajectory

Group = tuple[list[Trajectory], tuple[str, ...]]
"""Trajectories, and what info held."""
MOST_ROUNDS = 8  # episodes of a group, for each environment: what a lost node loses


@runtime_checkable
class RollsOut(Protocol):
    """What rolls a group of episodes out."""

    def out(self, episodes: Sequence[int], *, checked: bool) -> Group:
        """See Rolled."""
        ...


@dataclass(frozen=True)
class Spread:
    """Where episodes are rolled out.

    Attributes:
        mapper: Wherever there is room.
        kept: Where those that finished are kept, and found again.
    """

    mapper: Mapper
    kept: KeptEpisodes

    def out(
        self,
        rolled: RollsOut,
        episodes: Sequence[int],
        num_envs: int,
        needs: Needs,
        on_done: Callable[[Trajectory], Any] | None,
    ) -> Group:
        """Roll out what is not kept yet.

        Args:
            rolled: Rolls a group out.
            episodes: Indices.
            num_envs: Environments of a group.
            needs: What a group takes.
            on_done: Called with every finished trajectory, of a group together.
        """
        note = on_done or (lambda _: None)
        kept, info_keys = {t.episode: t for t in self.kept.load()}, self.kept.info_keys
        done = {episode: kept[episode] for episode in episodes if episode in kept}
        for trajectory in done.values():
            note(trajectory)
        missing = [episode for episode in episodes if episode not in done]
        groups = list(cut(missing, num_envs, self.mapper.places(needs))) if missing else []
        jobs = self.mapper.map(_roll_out, rolled, groups, needs) if groups else None
        try:
            for _, (trajectories, info_keys) in jobs or ():
                self.kept.add(trajectories, info_keys)
                done |= {t.episode: t for t in trajectories}
                for trajectory in trajectories:
                    note(trajectory)
        finally:
            if jobs is not None:
                jobs.close()
        return [done[episode] for episode in episodes], info_keys


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

"""Numbers that are not finite, on the way from a source into a store: named, or left out with their key or episode.

No store holds NaN or infinity, since nothing can be trained on them. Files of others do, often in one key that nobody
needs or in a few episodes in which a sensor failed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from robolearn.data.writer import DemoWriter
from robolearn.errors import UserError, printable
from robolearn.formats.format import Recording
from robolearn.types import Array, Episode

ACTION = "action"
SHOWN = 5  # episodes that are named


def without_keys(recording: Recording, keys: Collection[str], where: str) -> Recording:
    """Leave keys out of all episodes.

    Args:
        recording: As the source is.
        keys: Their names in a store; those that no episode has are refused when the first one is read.
        where: The source, for messages.

    Raises:
        UserError: Actions are to be left out.
    """
    if not keys:
        return recording
    if ACTION in keys:
        raise UserError(f"`drop_keys` {ACTION}: there are no demonstrations without actions")
    attrs = recording.attrs
    return replace(
        recording,
        episodes=_without(recording.episodes, keys, where),
        videos={key: kept for key, kept in recording.videos.items() if key not in keys},
        attrs=replace(
            attrs,
            obs_keys=tuple(key for key in attrs.obs_keys or () if key not in keys) or None,
            units={key: unit for key, unit in attrs.units.items() if key not in keys},
            names={key: names for key, names in attrs.names.items() if key not in keys},
        ),
    )


def _without(episodes: Iterable[Episode], keys: Collection[str], where: str) -> Iterator[Episode]:
    for episode in episodes:
        for key in keys:
            if key not in episode.obs:
                raise UserError(f"`drop_keys` {key}: {where} has no such key; there are: {', '.join(episode.obs)}")
        obs = {key: rows for key, rows in episode.obs.items() if key not in keys}
        if not obs:
            raise UserError(f"`drop_keys` {' '.join(keys)}: nothing is left of {where} to be observed")
        yield replace(episode, obs=obs)


class FiniteEpisodes:
    """The episodes of a recording whose numbers are all finite.

    Args:
        recording: Its episodes are gone through once.
        drop: Whether others are left out; if not the first one is refused.
        where: The source, for messages.

    Attributes:
        left_out: Number of an episode in the recording -> its name and what is not finite in it.

    Raises:
        UserError: In the loop, where `drop` is not set: which numbers of which episode are not finite.
    """

    def __init__(self, recording: Recording, drop: bool, where: str) -> None:
        self._recording, self._drop, self._where = recording, drop, where
        self.left_out: dict[int, str] = {}

    def __iter__(self) -> Iterator[Episode]:
        for number, episode in enumerate(self._recording.episodes):
            wrong = {key: bad for key, rows in _arrays(episode) if (bad := places_not_finite(rows)) is not None}
            if not wrong:
                yield episode
                continue
            said = "; ".join(describe_places(key, rows, wrong[key]) for key, rows in _arrays(episode) if key in wrong)
            said = printable(f"{self._recording.name_of(number)}: {said}")
            if not self._drop:
                keys = f", or what is named by `drop_keys` {' '.join(wrong)}" if ACTION not in wrong else ""
                raise UserError(
                    f"{self._where}: {said}; mend the file, or leave such episodes out by `drop_nan`{printable(keys)}"
                )
            self.left_out[number] = said

    def settle(self, store: DemoWriter) -> None:
        """Let the parts of a store that was written of these episodes count those that are there.

        Raises:
            UserError: There are none, and why.
        """
        if store.num_episodes == 0:
            why = next(
                (f"no episode is left; {said}" for said in self.left_out.values()), "there are no episodes in it"
            )
            raise UserError(f"{self._where}: {why}")
        if self.left_out:
            store.restate(replace(store.attrs, splits=self._renumber(store.attrs.splits)))

    def _renumber(self, splits: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
        gone = np.array(sorted(self.left_out))
        kept = {part: [i for i in these if i not in self.left_out] for part, these in splits.items()}
        moved = {part: tuple((np.array(these) - np.searchsorted(gone, these)).tolist()) for part, these in kept.items()}
        return {part: these for part, these in moved.items() if these}

    def lost(self) -> list[str]:
        """What was left out, in at most one sentence."""
        if not self.left_out:
            return []
        shown = [*self.left_out.values()][:SHOWN]
        more = f"; and {len(self.left_out) - SHOWN} more" if len(self.left_out) > SHOWN else ""
        return [
            f"{len(self.left_out)} episodes with numbers that are not finite are left out: {'; '.join(shown)}{more}"
        ]


def _arrays(episode: Episode) -> Iterator[tuple[str, Array]]:
    yield ACTION, episode.actions
    yield from episode.obs.items()


def places_not_finite(rows: Array) -> Array | None:
    """Places [n, axes] of NaN and infinity; None where there are none."""
    if rows.dtype.kind != "f":
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.sum(rows, dtype=np.float64)):  # then so is each, in one pass
            return None
    places = np.argwhere(~np.isfinite(rows))
    return places if len(places) else None


def describe_places(key: str, rows: Array, places: Array) -> str:
    """The first of these places [n, axes], what is there, and how many more there are."""
    step, *dims = places[0].tolist()
    dimension = f", dimension {', '.join(map(str, dims))}" if dims else ""
    more = f" and in {len(places) - 1} more places" if len(places) > 1 else ""
    return f"{key} is {rows[tuple(places[0])]} at step {step}{dimension}{more}"

"""Recordings whose keys are made of those of the source, before any of them is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain

from robolearn.data.mapped import mapped_attrs
from robolearn.errors import UserError
from robolearn.formats.format import Recording
from robolearn.keyentry import quoted
from robolearn.keymap import ACTION, KeyMap
from robolearn.types import Array, Episode


def map_recording(recording: Recording, keymap: KeyMap, where: str) -> Recording:
    """Put new keys in the place of those that they are made of; other keys stay. Actions are always kept.

    Args:
        recording: As the source is.
        keymap: What is made.
        where: The source, for messages.

    Raises:
        UserError: The first episode has no such key, or no such part of it, or nothing is left to be observed. Later
            episodes raise it as they are read.
    """
    episodes = iter(recording.episodes)
    first = next(episodes, None) if keymap.entries else None
    if first is None:
        return replace(recording, episodes=episodes)
    keys = (ACTION, *first.obs)
    due, left = keymap.due(keys), _map(first, keymap, where).obs
    if not left:
        raise UserError(f"{where}: `obs` {' '.join(keymap.texts())}: nothing is left to be observed")
    return replace(
        recording,
        attrs=mapped_attrs(recording.attrs, keymap, keys),
        episodes=_mapped(chain([first], episodes), keymap, where),
        lost=(*recording.lost, *_in_parts(due)),
    )


def _mapped(episodes: Iterable[Episode], keymap: KeyMap, where: str) -> Iterator[Episode]:
    for number, episode in enumerate(episodes):
        yield _map(episode, keymap, f"{where}: episode {number}")


def _map(episode: Episode, keymap: KeyMap, where: str) -> Episode:
    arrays: dict[str, Array] = {ACTION: episode.actions, **episode.obs}
    try:
        made = keymap.apply(arrays)
    except UserError as error:
        raise UserError(f"{where}: `obs` {error}") from None
    rows = {key: made[key] if key in made else arrays[key] for key in keymap.replace(tuple(arrays))}
    return Episode(rows, rows.pop(ACTION), episode.attrs)


def _in_parts(keymap: KeyMap) -> Iterator[str]:
    """Which keys are not kept whole, and how to keep them, a sentence each."""
    whole = {source.key for entry in keymap.entries for source in entry.sources if not source.picks}
    for key in keymap.sources:
        if key not in (ACTION, *whole):
            yield f"{key} but for what is made of it; `obs` {quoted(key)}={quoted(key)} keeps it whole too"

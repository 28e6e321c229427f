"""What a format's reader hands over, which may be anybody's: looked at before it is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from robolearn.data.attrs import StoreAttrs
from robolearn.data.fitting import arrays_of
from robolearn.errors import UserError, one_line
from robolearn.formats.format import ImportOptions, Recording
from robolearn.types import Episode


def read_recording(read: Any, name: str, source: Path, options: ImportOptions) -> Recording:
    """What a reader says of a source.

    Args:
        read: Of a format, given the source and the options.
        name: Of the format.
        source: File or folder.
        options: What of it to read.

    Raises:
        UserError: The source cannot be read, or the reader returns no recording; the episodes raise it where one of
            them is none.
    """
    with _reading(source):
        recording = read(source, options)
    if not isinstance(recording, Recording) or not isinstance(recording.attrs, StoreAttrs):
        wrong = (
            f"one whose attrs are {_kind(recording.attrs)}" if isinstance(recording, Recording) else _kind(recording)
        )
        raise UserError(f"format {name}: its reader returned {wrong}; expected a Recording(StoreAttrs(...), episodes)")
    lost = (recording.lost,) if isinstance(recording.lost, str) else tuple(recording.lost)
    return replace(recording, episodes=_episodes(recording.episodes, name, source), lost=lost)


def _episodes(episodes: Iterable[Any], name: str, source: Path) -> Iterator[Episode]:
    rest = iter(episodes)
    for number in count():
        with _reading(source):
            episode: Any = next(rest, None)
        if episode is None:
            return
        if not (isinstance(episode, Episode) and isinstance(episode.obs, dict) and isinstance(episode.attrs, dict)):
            raise UserError(
                f"format {name}: episode {number} is {_kind(episode)}; expected an "
                "Episode(obs, actions, attrs) whose obs and attrs are dicts"
            )
        try:
            arrays_of(episode)
        except UserError as error:
            raise UserError(f"{source}: episode {number}: {error}") from None
        yield episode


def _kind(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


@contextmanager
def _reading(source: Path) -> Iterator[None]:
    """Say of what the operating system refuses while a source is read that it cannot be read."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{source}: cannot be read ({one_line(error)})") from error

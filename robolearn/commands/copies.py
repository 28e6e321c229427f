"""URLs among the arguments of a command: the one door through which every verb works on remote files."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from robolearn.errors import UserError
from robolearn.paths import is_copy, is_url, place_of, url_of
from robolearn.remote.storage import RemoteError

LOCAL_VERBS = ("bench",)  # its results are named by a path without a suffix


@contextmanager
def with_copies(verb: str, arguments: Sequence[str]) -> Iterator[list[str]]:
    """Give the arguments with the places of copies instead of URLs; what the verb wrote into them is sent in the end.

    It has to be done before they are parsed: Path("s3://bucket/x") loses a slash.

    Args:
        verb: Of which command.
        arguments: As they were typed. Values of kwargs are nobody's paths.

    Raises:
        UserError: A copy cannot be brought up to date or be sent, or the verb knows none.
    """
    given: list[str] = []
    copies: list[Path] = []
    flag = ""
    for text in arguments:
        head, value = _head_and_value(text)
        flag = (head or text) if text.startswith("-") else flag
        if is_url(value) and "kwargs" not in flag:
            if verb in LOCAL_VERBS:
                raise UserError(f"{value}: {verb} works on folders of this machine")
            copies.append(place_of(value))
            value = str(copies[-1])
        given.append(head + value)
    _fetch(copies)
    try:
        yield given
    except RemoteError:
        raise
    except UserError as error:
        raise UserError(_with_urls(str(error), copies)) from error
    _fetch(copies)


def command_line(prog: str, arguments: Sequence[str]) -> str:
    """A command as it can be typed on any machine, with URLs instead of copies."""
    return shlex.join([*prog.split(), *(head + _as_typed(value) for head, value in map(_head_and_value, arguments))])


def _head_and_value(text: str) -> tuple[str, str]:
    """Cut --flag=value behind its =; any other text but a flag alone is a value."""
    flag, equals, value = text.partition("=") if text.startswith("--") else ("", "", text)
    return flag + equals, value


def _as_typed(value: str) -> str:
    return url_of(Path(value)) if is_copy(Path(value)) else value


def _fetch(copies: Sequence[Path]) -> None:
    if copies:
        from robolearn.remote.sync import fetched  # nothing of it is needed for the other commands

        for copy in copies:
            fetched(copy)


def _with_urls(text: str, copies: Sequence[Path]) -> str:
    for copy in copies:
        text = text.replace(str(copy), url_of(copy))
    return text

"""How commands end when the user gave something that cannot work, or stopped them: one line, no traceback."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import NoReturn

DEFECT = (
    "This is a defect, not a mistake of yours. Please report it, with all of the lines above and the command, "
    "where you got robolearn from; README.md says how under 'When something fails'."
)
_NAMES_FLAGS = ContextVar("names_flags", default=False)  # whether a command speaks, and not a user's own program
FIELD = re.compile(r"`([a-z][a-z_]*(?:\.[a-z_]+)*)`")


class UserError(ValueError):
    """Something that the user can mend: the message is one line that names it and the valid choices."""


class UnfinishedError(UserError):
    """A training that what was saved of it goes on from; how, is for the command to say, or for the program.

    Args:
        text: The message.
        run: Directory of the training.
    """

    def __init__(self, text: str, run: Path) -> None:
        super().__init__(text, run)  # both, so that it can come from another process

    def __str__(self) -> str:
        return self.args[0]

    @property
    def run(self) -> Path:
        """Directory of the training."""
        return self.args[1]


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn a UserError or a refusal of the operating system into one line on stderr and exit status 2.

    Ctrl-C and SIGTERM end the block with one line too, and with the exit status of the signal, 130 or 143. Everything
    else is a defect: its traceback comes with a note of where to report it. Warnings and notes in the block name flags,
    as errors do.
    """
    before = _NAMES_FLAGS.set(True)
    try:
        with terminate_as_interrupt(), all_printed():
            yield
    except KeyboardInterrupt as stop:
        print("stopped", file=sys.stderr)
        sys.exit(exit_status(stop))
    except SystemExit as end:
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        print(f"error: {one_line(end.__context__)}", file=sys.stderr)  # rich would end with 1, which can be a verdict
        sys.exit(2)
    except (UserError, OSError) as error:
        print(f"error: {as_flags(one_line(error))}", file=sys.stderr)
        sys.exit(2)
    except Exception as error:
        error.add_note(DEFECT)
        raise
    finally:
        _NAMES_FLAGS.reset(before)
        _drop_output()


@contextmanager
def all_printed() -> Iterator[None]:
    """Find out at the end of the block, and not at that of Python, that nobody takes what was printed in it."""
    try:
        yield
    except SystemExit:  # as behind --help
        print(end="", flush=True)
        raise
    print(end="", flush=True)


def _drop_output() -> None:
    """Let what could not be printed go nowhere: Python would try again, and end with a status and lines of its own."""
    try:
        print(end="", flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt, as Ctrl-C does, so that both end a command in the same way."""

    def interrupt(signum: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt(signum)

    if threading.current_thread() is not threading.main_thread():  # only that one may set handlers
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def exit_status(stop: KeyboardInterrupt) -> int:
    """Exit status of a command that a signal ended: 128 + its number."""
    return 128 + (stop.args[0] if stop.args else signal.SIGINT)


def as_flags(text: str) -> str:
    """A message that names fields, `num_envs`, as one that names the flags of a command, --num-envs."""
    return FIELD.sub(lambda field: f"--{field[1].replace('_', '-')}", text)


def one_line(error: BaseException) -> str:
    """What an error says, in one line; of the operating system's the file first."""
    if isinstance(error, OSError) and error.strerror:
        return printable(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    return printable(" ".join(str(error).split())) or type(error).__name__


def printable(text: str) -> str:
    """Text without control characters: names in strangers' files may hold what moves a terminal."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def warn(text: str) -> None:
    """Print a warning, one line; what it names in backticks is a flag in a command, see `user_errors`."""
    _say("warning", text)


@cache
def remark(text: str) -> None:
    """Say what is no trouble but should be known, one line, and only once."""
    _say("note", text)


def _say(kind: str, text: str) -> None:
    print(f"{kind}: {printable(as_flags(text) if _NAMES_FLAGS.get() else text)}", file=sys.stderr)


@contextmanager
def warned(what: str) -> Iterator[None]:
    """Turn whatever goes wrong in the block into a warning: for a stranger's code that no result depends on."""
    try:
        yield
    except Exception as error:
        warn(f"{what} failed ({type(error).__name__}: {one_line(error)})")

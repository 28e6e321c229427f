"""What the verbs that bring demonstrations in and out have in common: how they run, and what they say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from robolearn.commands.flags import read_flags
from robolearn.commands.parsing import import_plugins
from robolearn.errors import as_flags
from robolearn.formats.transfer import Transfer


def transfer(
    options: type, arguments: Sequence[str], prog: str, about: str | None, act: Callable[[Any], Transfer], word: str
) -> Transfer:
    """Parse, do it, and say what was written and what could not be kept.

    Args:
        options: The class of the flags.
        arguments: Given on the command line.
        prog: How the command was called.
        about: What it does, for the help.
        act: Does it, given the flags.
        word: What stands before the format: from, or as.
    """
    import_plugins(arguments)
    done = act(read_flags(options, arguments, prog, about))
    print(f"{done.path}: {done.num_episodes} episodes, {done.num_steps} steps, {word} {done.format}")
    for sentence in done.lost:
        print(f"  not kept: {as_flags(sentence)}")
    return done

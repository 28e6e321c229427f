"""Flags as the fields of a class, read from a command line; what cannot be read is refused in one line."""

from __future__ import annotations

import dataclasses
import io
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from typing import Any

import tyro
from tyro.conf import CascadeSubcommandArgs

from robolearn.errors import UserError

RULE = set("─-╭╮╰╯")  # of lines, or where the terminal has none of dashes
GUESS = "Perhaps you meant:"
Choices = Mapping[str, Mapping[str, type]]
"""How the flags of a choice begin -> name of what can be chosen -> class of its flags."""


def read_flags(
    options: Any,
    arguments: Sequence[str],
    prog: str,
    about: str | None,
    *,
    cascade: bool = False,
    choices: Choices | None = None,
) -> Any:
    """The flags of a command; --help prints them and ends it.

    Args:
        options: Their class.
        arguments: Of the command line.
        prog: How the command was called.
        about: What it does, for the help.
        cascade: Flags of a family and a backbone may stand anywhere behind their names.
        choices: Whose flags depend on what is chosen: a flag of another choice is told from one that does not exist.

    Raises:
        UserError: A flag is unknown, lacks its value or has one that does not fit, or one that is needed is missing.
    """
    said, config = io.StringIO(), (CascadeSubcommandArgs,) if cascade else ()
    try:
        with redirect_stderr(said):
            flags = tyro.cli(options, args=arguments, prog=prog, description=about, config=config)
        sys.stderr.write(said.getvalue())  # of what is imported meanwhile
        return flags
    except SystemExit as end:
        if not end.code:
            raise
    wrong = in_one_line(said.getvalue())
    raise UserError(f"{of_another_choice(wrong, choices or {}) or wrong}; {prog} --help lists all flags")


def of_another_choice(wrong: str, choices: Choices) -> str | None:
    """What a message that calls something unrecognized means, where it is about a choice; None where it is not.

    That is a flag of another choice, a choice that is given as a flag, such as `--family flow`, or a name of none.
    """
    unknown = wrong.partition("; perhaps")[0].partition(": ")[2] if wrong.startswith("unrecognized") else ""
    named = {start.strip("-."): ", ".join(classes) for start, classes in choices.items() if start.endswith(".")}
    first = unknown.partition(", ")[0].partition("=")[0]
    if (kind := first.removeprefix("--")) in named:
        return f"the {kind} is named without {first}: one of {named[kind]}"
    if first and named and not first.startswith("-"):
        return f"{first} is " + " and ".join(f"no {kind} ({names})" for kind, names in named.items())
    for flag in re.findall(r"--[\w.-]+", unknown):
        for start, classes in choices.items():
            field = flag.removeprefix(start).replace("-", "_")
            owners = [name for name, cls in classes.items() if field in {one.name for one in dataclasses.fields(cls)}]
            if owners:
                return f"{flag} is an option of {' and '.join(owners)} alone"
    return None


def in_one_line(box: str) -> str:
    """What tyro says in a box, without it: what is wrong, and the first flag that may have been meant.

    Below its title the box has parts between rules, of which the first says what is wrong.
    """
    parts: list[list[str]] = [[]]
    lines = [text for line in box.splitlines() if (text := line.strip("│ "))]
    for text in lines[1:]:
        if set(text) <= RULE:
            parts.append([])
        else:
            parts[-1].append(text)
    wrong, *more = [" ".join(part) for part in parts if part] or ["flags that cannot be read"]
    guesses = [part.removeprefix(GUESS).split()[0] for part in more if part.startswith(GUESS)]
    wrong = wrong.replace(" (required)", "").rstrip(" .!")
    return "; ".join([wrong[:1].lower() + wrong[1:], *(f"perhaps you meant {guess}" for guess in guesses)])

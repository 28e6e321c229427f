"""What is wrong with flags is said in one line, as every other mistake of a user."""

from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from tyro.conf import Positional

from robolearn.commands.flags import read_flags
from robolearn.errors import UserError


@dataclass
class Options:
    place: Annotated[Positional[str], None]
    """Where."""
    kind: Literal["round", "square"] = "round"
    """Which."""
    steps: int = 3
    """How many."""


def read(*arguments):
    return read_flags(Options, arguments, "go", "Go somewhere.")


def test_flags_are_read():
    assert read("here", "--steps", "4") == Options("here", steps=4)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["here", "--stepz", "4"], "unrecognized options: --stepz, 4; perhaps you meant --steps; go --help lists"),
        (["here", "--steps", "many"], "error parsing --steps: .*'many'; go --help lists all flags"),
        (["here", "--kind", "flat"], "invalid choice 'flat' .*'round', 'square'"),
        ([], "missing from go: STR Where; go --help lists all flags"),
    ],
)
@pytest.mark.parametrize("columns", ["40", "200"])
def test_what_is_wrong_is_one_line(arguments, said, columns, monkeypatch, capsys):
    """However wide the terminal is; nothing else is printed."""
    monkeypatch.setenv("COLUMNS", columns)
    with pytest.raises(UserError, match=f"^{said}") as refused:
        read(*arguments)
    assert "\n" not in str(refused.value)
    assert capsys.readouterr() == ("", "")


def test_help_is_printed_and_ends_the_command(capsys):
    with pytest.raises(SystemExit) as end:
        read("--help")
    assert not end.value.code
    assert "Go somewhere." in capsys.readouterr().out

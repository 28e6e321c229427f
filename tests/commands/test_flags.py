"""What is wrong with flags is said in one line, as every other mistake of a user."""

import importlib
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from tyro.conf import Positional

from robolearn.commands.flags import read_flags
from robolearn.commands.main import VERBS
from robolearn.errors import UserError


@dataclass
class Options:
    destination: Annotated[Positional[str], None]
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


@dataclass
class Round:
    radius: float = 1.0


@dataclass
class Square:
    side_length: float = 1.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--side-length", "2"], "--side-length is an option of square alone; go --help lists all flags"),
        (["--stepz", "4"], "unrecognized options: --stepz, 4; perhaps you meant --steps; go --help lists"),
        (["--side-lenth", "2"], "unrecognized options: --side-lenth"),
        (["--steps", "many"], "error parsing --steps"),
    ],
)
def test_a_flag_of_another_choice_is_told_from_one_that_does_not_exist(arguments, said):
    choices = {"--": {"round": Round, "square": Square}}
    with pytest.raises(UserError, match=f"^{said}"):
        read_flags(Options, ["here", *arguments], "go", "Go somewhere.", choices=choices)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("train flow --family.num-bins 5", "--family.num-bins is an option of tokens alone"),
        ("train flow mlp --backbone.num-heads 5", "--backbone.num-heads is an option of transformer alone"),
        ("train --family flow unet", "the family is named without --family: one of regression, .*, flow, .*; go"),
        ("train --backbone=mlp", "the backbone is named without --backbone: one of .*transformer"),
        ("train flow unett", r"unett is no family \(regression, .*\) and no backbone \(mlp, .*\); go"),
        ("plan Pendulum-v1 cemm --out c", r"cemm is no search \(cem, icem\); go"),
        ("pretrain a.zarr --within 5", "--within is an option of contrastive alone"),
        ("translator a.zarr b.zarr --method cut --pool 4 --out c", "--pool is an option of cyclegan alone"),
        ("plan Pendulum-v1 cem --search.keep 0.3 --out c", "--search.keep is an option of icem alone"),
        ("simulator learn --stores a.zarr --out c flow mlp --backbone.num-heads 4", "--backbone.num-heads is an"),
    ],
)
def test_the_commands_know_whose_flags_are_whose(command, said):
    verb, *arguments = command.split()
    module = importlib.import_module(f"robolearn.commands.{VERBS[verb][0]}")
    with pytest.raises(UserError, match=f"^{said}"):
        module.main(arguments, "go")


def test_help_is_printed_and_ends_the_command(capsys):
    with pytest.raises(SystemExit) as end:
        read("--help")
    assert not end.value.code
    assert "Go somewhere." in capsys.readouterr().out

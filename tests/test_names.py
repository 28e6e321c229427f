"""Names are nouns of the field: what `found` holds, or where `place` is, no reader can tell."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SAY_NOTHING = {"found", "place", "of"}


def name_of(node):
    """The name that a node of a syntax tree gives to something; None in most cases."""
    match node:
        case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()) | ast.arg(arg=name):
            return name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return name
        case ast.MatchAs(name=name) | ast.MatchStar(name=name) | ast.MatchMapping(rest=name):
            return name
        case ast.ExceptHandler(name=name) | ast.alias(asname=name):
            return name
    return None


def empty_names(source):
    """Line and name of what is called by a word that says nothing."""
    named = [(node, name) for node in ast.walk(ast.parse(source)) if (name := name_of(node))]
    return [f"{node.lineno}: {name}" for node, name in named if name.strip("_") in SAY_NOTHING]


@pytest.mark.long  # hundreds of files are parsed
def test_names_say_what_they_name():
    rooms = ("robolearn", "envs", "benchmarks", "tests")
    paths = [*ROOT.glob("*.py"), *(path for room in rooms for path in (ROOT / room).rglob("*.py"))]
    assert len(paths) > 500
    empty = {path.relative_to(ROOT).as_posix(): names for path in paths if (names := empty_names(path.read_text()))}
    assert empty == {}


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("found = 1", "found"),
        ("a, (found, b) = pair", "found"),
        ("found: int = 1", "found"),
        ("self._found = 1", "_found"),
        ("for place in rows: pass", "place"),
        ("if (place := find()): pass", "place"),
        ("def place(): pass", "place"),
        ("def f(*, of): pass", "of"),
        ("g = lambda of: 1", "of"),
        ("import numpy as of", "of"),
        ("match x:\n    case [*found]: pass", "found"),
        ("match x:\n    case int() as found: pass", "found"),
        ("match x:\n    case {1: a, **found}: pass", "found"),
        ("try: pass\nexcept OSError as found: pass", "found"),
    ],
)
def test_a_name_that_says_nothing_is_noticed(source, name):
    assert [noticed.split()[-1] for noticed in empty_names(source)] == [name]


def test_words_may_be_read_and_written():
    assert empty_names("a.found, rows['place'], 'of', keyword(of=1)") == []

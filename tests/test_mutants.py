"""The kept mutants can be applied, and the program that runs them tells killed from survived and broken."""

import ast
import dataclasses
import functools
from pathlib import Path

import pytest

from tests.mutants.__main__ import main, run_mutants
from tests.mutants.kept import Mutant, read_mutants

ROOT = Path(__file__).parents[1]
KEPT = read_mutants()


@functools.cache
def functions_of(path):
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("mutant", KEPT, ids=str)
def test_a_kept_mutant_can_be_applied_and_its_tests_exist(mutant):
    mutant.apply((ROOT / mutant.file).read_text())
    assert mutant.tests
    for test in mutant.tests:
        path, _, name = test.partition("::")
        assert not name or name.partition("[")[0] in functions_of(path), test


def test_no_mutant_is_kept_twice():
    assert len({(m.file, m.old, m.new) for m in KEPT}) == len({str(m) for m in KEPT}) == len(KEPT)


def test_what_cannot_be_applied_is_an_error():
    mutant = Mutant("room", "name", "file.py", "1", "2", ())
    assert mutant.apply("x = 1") == "x = 2"
    with pytest.raises(ValueError, match="occurs 2 times"):
        mutant.apply("x = 1 + 1")
    with pytest.raises(ValueError, match="occurs 0 times"):
        mutant.apply("x = 3")
    with pytest.raises(ValueError, match="the program is the same"):
        mutant.apply("x = 3  # 1")


def test_a_damaged_list_is_named(tmp_path):
    for text in ("[[mutant", "[[mutant]]\nname = 'x'", "[other]"):
        (tmp_path / "room.toml").write_text(text)
        with pytest.raises(ValueError, match=r"room\.toml"):
            read_mutants(tmp_path)


CODE = "def half(x):\n    return x / 2\n"
TEST = "from code_of import half\n\ndef test_half():\n    assert half(4) == 2\n\ndef test_red():\n    assert False\n"
SIGN = Mutant("room", "sign", "code_of.py", "x / 2", "-x / 2", ("test_code.py::test_half",))


@pytest.fixture
def tree(tmp_path):
    """A project of one function, whose list has a mutant that is killed and one that survives."""
    (tmp_path / "code_of.py").write_text(CODE)
    (tmp_path / "test_code.py").write_text(TEST)
    folder = tmp_path / "tests" / "mutants"
    folder.mkdir(parents=True)
    entry = '[[mutant]]\nname = "{}"\nfile = "code_of.py"\nold = "x / 2"\nnew = "{}"\ntests = ["{}"]\n'
    entries = [entry.format(*pair, "test_code.py::test_half") for pair in (("sign", "-x / 2"), ("floor", "x // 2"))]
    (folder / "room.toml").write_text("".join(entries))
    return tmp_path


@pytest.fixture
def quick(monkeypatch):
    """In place of pytest: the exit codes that it would give on the tests of the tree, without its start."""

    def status(tree, tests, *options, **limit):
        names = [test.partition("::")[2] for test in tests]
        if "test_nothing" in names:
            return 4
        half = {}
        exec((tree / "code_of.py").read_text(), half)
        return int("test_red" in names or half["half"](4) != 2)

    monkeypatch.setattr("tests.mutants.__main__.pytest_status", status)


def test_verdicts(tree, quick):
    mutants = {
        "killed": SIGN,
        "survived": dataclasses.replace(SIGN, name="floor", new="x // 2"),
        "broken: room/gone": dataclasses.replace(SIGN, name="gone", old="x / 3"),
        "broken: invalid": dataclasses.replace(SIGN, name="syntax", new="x /"),
        "broken: pytest": dataclasses.replace(SIGN, name="no test", tests=("test_code.py::test_nothing",)),
        "broken: its tests fail without it": dataclasses.replace(SIGN, name="red", tests=("test_code.py::test_red",)),
    }
    verdicts = dict(run_mutants(list(mutants.values()), tree, workers=2))
    assert len(verdicts) == 6
    for verdict, mutant in mutants.items():
        assert verdicts[mutant].startswith(verdict), (verdicts[mutant], verdict)
    assert (tree / "code_of.py").read_text() == CODE


def test_the_exit_status_tells_whether_one_survived(tree, quick, capsys):
    assert main(["--only", "room/sign", "--workers", "1"], tree) == 0
    assert "1 mutants: 1 killed, 0 survived, 0 broken" in capsys.readouterr().out
    assert main([], tree) == 1
    assert "room/floor: survived" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--only", "nothing"], tree)


@pytest.mark.slow
def test_it_is_pytest_that_notices(tree, capsys):
    assert main(["--workers", "1"], tree) == 1
    assert "2 mutants: 1 killed, 1 survived, 0 broken" in capsys.readouterr().out

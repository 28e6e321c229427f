"""The names that `import robolearn` offers: cheap to import, all there, and the same for people and type checkers."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import robolearn


def test_every_name_is_there():
    for name in robolearn.__all__:
        assert getattr(robolearn, name).__name__ == name if callable(getattr(robolearn, name)) else True
    assert set(robolearn.__all__) <= set(dir(robolearn))


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(robolearn.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.asname: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert seen == {name: f"robolearn.{home}" for name, home in robolearn.HOMES.items()}


def test_an_unknown_name_is_told_what_there_is():
    with pytest.raises(AttributeError, match=r"no attribute 'tarin'; it has: .*train"):
        robolearn.tarin  # noqa: B018


def test_the_package_brings_nothing_along():
    code = "import sys, robolearn; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", robolearn.__all__)
def test_what_is_called_has_an_example_or_says_what_it_is(name):
    value = getattr(robolearn, name)
    assert value.__doc__
    if callable(value) and not isinstance(value, type):
        assert f"{name}(" in value.__doc__, "a function shows how it is called"

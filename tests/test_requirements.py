"""What pyproject.toml asks for is what is tested: the newest pins of one file, the oldest ones of another."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
UNTESTED = {"docs"}  # an extra that the tests do without
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def requirements():
    """All of the package and of the extras that are tested."""
    extras = PROJECT["optional-dependencies"]
    assert extras.keys() >= UNTESTED
    lines = [*PROJECT["dependencies"], *(line for name in extras if name not in UNTESTED for line in extras[name])]
    return {str(Requirement(line)): Requirement(line) for line in lines}


def pins(name):
    """Package -> version of a file of constraints."""
    lines = [line.split(" #")[0].strip() for line in (ROOT / name).read_text("utf-8").splitlines()]
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(package.partition("[")[0]): Version(version) for package, version in pairs}


@pytest.mark.parametrize("requirement", requirements().values(), ids=requirements())
def test_what_is_asked_for_begins_where_it_is_tested(requirement):
    """A release that nobody tried with is none that works: mujoco 3.3.0 lacks what every task calls."""
    name = canonicalize_name(requirement.name)
    (oldest,) = (Version(bound.version) for bound in requirement.specifier if bound.operator == ">=")
    assert oldest == pins("constraints-oldest.txt")[name]
    assert requirement.specifier.contains(pins("constraints.txt")[name])

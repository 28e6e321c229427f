"""Kept mutants: small faults that the tests must notice, in one TOML file per room.

[[mutant]]
name = "what would be wrong"
file = "robolearn/room/file.py"
old = '''exact text, which occurs once in the file'''
new = '''what replaces it'''
tests = ["tests/room/test_file.py::test_name"]   # at least one of them must fail
"""

from __future__ import annotations

import ast
import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Attributes:
        room: Stem of the TOML file.
        name: What would be wrong.
        file: Path of the source below the root.
        old: Text that occurs there once.
        new: What replaces it.
        tests: Test ids of which at least one must fail.
    """

    room: str
    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.room}/{self.name}"

    def apply(self, source: str) -> str:
        """The source with the fault.

        Raises:
            ValueError: The text does not occur exactly once, or the program means what it meant before.
        """
        if (count := source.count(self.old)) != 1:
            raise ValueError(f"{self}: the old text occurs {count} times in {self.file}")
        mutated = source.replace(self.old, self.new)
        if meaning(mutated) == meaning(source):
            raise ValueError(f"{self}: the program is the same")
        return mutated


@functools.lru_cache(maxsize=8)  # the mutants of a file are neighbors
def meaning(source: str) -> str:
    """The program of a source, without comments and layout."""
    return ast.dump(ast.parse(source))


def read_mutants(folder: Path = FOLDER) -> list[Mutant]:
    """All mutants that are kept in a folder, room by room.

    Raises:
        ValueError: A file is not TOML, or an entry lacks a field or has one too many.
    """
    mutants = []
    for path in sorted(folder.glob("*.toml")):
        try:
            entries = tomllib.loads(path.read_text())["mutant"]
            mutants += [Mutant(path.stem, **{**entry, "tests": tuple(entry["tests"])}) for entry in entries]
        except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: {error}") from None
    return mutants

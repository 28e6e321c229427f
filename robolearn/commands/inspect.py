"""Show what is in a store and what looks wrong.

Keys, shapes, lengths, ranges, NaN, near-constant dimensions, duplicate episodes, suspicious jumps. Works on damaged
stores too; the exit status is 1 if there is a problem.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, arg


@dataclass(frozen=True)
class Options:
    """Options of an inspection."""

    store: Annotated[Positional[Path], arg(metavar="STORE")]
    """A .zarr directory or a .zip of one, in the layout of docs/format.md."""


def main(arguments: Sequence[str], prog: str) -> None:
    """Parse, and print the report."""
    given = tyro.cli(Options, args=arguments, prog=prog, description=__doc__)
    from robolearn.data.inspect import inspect

    sys.exit(1 if inspect(given.store).problems else 0)

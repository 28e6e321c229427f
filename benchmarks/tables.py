"""Cells and tables of pages of results."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from robolearn.stats.value import Estimate

WIDTH = 100
ENDS = ("value", "low", "high")


def prose(text: str) -> list[str]:
    """A paragraph, and the empty line behind it."""
    return [*textwrap.wrap(text, WIDTH), ""]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def interval(values: Sequence[float] | Mapping[str, Any], spec: str = ".3f") -> str:
    """A value with its interval."""
    ends = [values[end] for end in ENDS] if isinstance(values, Mapping) else values
    return format(Estimate(*ends, n=0), spec)


def spread(values: Sequence[float | None], digits: int = 2) -> str:
    """Mean of the training seeds, and the range they span."""
    there = [value for value in values if value is not None and np.isfinite(value)]
    if not there:
        return "-"
    return f"{np.mean(there):.{digits}f} ({min(there):.{digits}f} to {max(there):.{digits}f})"


def verdict(is_met: bool) -> str:
    """What is said of a target without an interval."""
    return "met" if is_met else "missed"


def parts_below(parts: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """What is kept below a name, under the rest of its name."""
    prefix = "".join(f"{name}/" for name in names)
    return {name.removeprefix(prefix): part for name, part in parts.items() if name.startswith(prefix)}


def one_of_each_command(parts: Mapping[str, Any]) -> dict[str, Any]:
    """One part of each command, commit and machine: commands write many."""
    return {f"{part['command']} {part['commit']} {part['hardware']}": part for part in parts.values()}


def measured_with(parts: Mapping[str, Any]) -> list[str]:
    """Command, commit and machine of each part of a file."""
    rows = [[f"`{part['command']}`", part["commit"], part["hardware"]] for part in parts.values()]
    return table(["command", "commit", "hardware"], rows)

"""The points of all axes as a table, and by how much the cost of an item grows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

from benchmarks.common import ratio
from benchmarks.growth.axes import AXES
from benchmarks.tables import parts_below, table
from robolearn.stats.value import Estimate

PART, MOST_GROWTH = "growth", 1.25
Points = dict[str, dict[str, list[float]]]
"""Size -> name of a number of `growth.point` -> that of each round."""


def all_points(parts: Mapping[str, Any]) -> dict[str, Points]:
    """Points of each axis that is kept among the parts of a file."""
    kept = parts_below(parts, PART)
    return {name: kept[name]["points"] for name in AXES if name in kept}


def table_of(axes: Mapping[str, Points]) -> list[str]:
    """A row per point: what an item costs, and what it costs in the cheapest of all smaller sizes."""
    header = ("what grows", "size", "item", "per item [us]", "over the cheapest before", "start-up [s]", "memory [MiB]")
    return table(header, (row for name, points in axes.items() for row in _rows(name, points)))


def growths(points: Points) -> list[Estimate | None]:
    """Per size: cost of an item over that of the cheapest smaller size; None for the first."""
    costs = [numbers["per_item_s"] for numbers in points.values()]
    return [ratio(cost, min(costs[:index], key=median)) if index else None for index, cost in enumerate(costs)]


def _rows(name: str, points: Points) -> Iterator[list[str]]:
    for (size, numbers), growth in zip(points.items(), growths(points), strict=True):
        cost, start, peak = (median(numbers[key]) for key in ("per_item_s", "start_s", "peak_bytes"))
        yield [
            AXES[name].title,
            f"{int(size):,}",
            AXES[name].item,
            f"{1e6 * cost:,.0f}" if cost > 1e-4 else f"{1e6 * cost:.3g}",
            "" if growth is None else f"{growth:.2f}",
            f"{start:.2f}",
            f"{peak / 2**20:,.0f}",
        ]

"""Cost of an item, start-up and memory over what grows: a row of panels for each axis."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.drawing import MUTED, sheet
from benchmarks.growth.axes import AXES
from benchmarks.growth.points import MOST_GROWTH, Points

COLOR = "#0b7285"
BAND: Any = {"color": "#d5e9ec", "lw": 0, "zorder": 0.5}


def draw(path: Path, axes: Mapping[str, Points]) -> None:
    """Draw the median of each number, and those of the rounds; the band is what the target allows of the cheapest.

    Args:
        path: The PNG file.
        axes: Name of each -> its points.
    """
    with sheet(path, 10.5, 2.2 * len(axes), rows=len(axes), columns=3) as panels:
        for row, (name, points) in zip(panels, axes.items(), strict=True):
            sizes = [int(size) for size in points]
            for panel, (title, key, unit, limits) in zip(row, _drawn(AXES[name].item), strict=True):
                rounds = [[max(unit * value, limits[0]) for value in numbers[key]] for numbers in points.values()]
                medians = [median(values) for values in rounds]
                panel.plot(sizes, rounds, ".", color=MUTED, ms=3, alpha=0.6)
                panel.plot(sizes, medians, "o-", color=COLOR, ms=3.5, lw=1.4)
                panel.set(title=title, xscale="log")
                if panel is not row[0]:
                    panel.set(yscale="log", ylim=limits)
                panel.set_xticks(sizes, [f"{size:,}" for size in sizes])
                panel.minorticks_off()
            allowed = MOST_GROWTH * min(median(numbers["per_item_s"]) for numbers in points.values())
            row[0].axhspan(0, 1e6 * allowed, **BAND)
            row[0].set_ylim(0, 1.1 * row[0].get_ylim()[1])
            row[0].set_xlabel(AXES[name].title)


def _drawn(item: str) -> tuple[tuple[str, str, float, tuple[float, float]], ...]:
    """Title, number, its unit, and the least and the most that is drawn, the same for all axes but for the cost."""
    return (
        (f"CPU time per {item} [us]", "per_item_s", 1e6, (0.0, inf)),
        ("start-up [s of CPU]", "start_s", 1.0, (1e-3, 1e1)),
        ("memory [MiB]", "peak_bytes", 2.0**-20, (1.0, 2e3)),
    )

"""What an item costs, how much memory it takes and how long starting up takes, as one number after another grows.

    python -m benchmarks.growth [AXIS ...] [--out FILE.json] [--figures DIR] [--most SIZE] [--seconds S]

Every point has a process of its own, on one thread; times are CPU time. An axis ends early at the size whose point took
longer than --seconds. The target is a cost per item within 25 % from the smallest to the largest size.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import children_seconds, keep, options
from benchmarks.growth.axes import AXES, Axis
from benchmarks.tables import table

Point = dict[str, float]


def point(axis: str, size: int, work: Path | None = None) -> tuple[Point, float]:
    """A point, and the CPU time that all of it took [s]."""
    before = children_seconds()
    with tempfile.TemporaryDirectory(dir=work) as folder:
        for what in ("make", "measure"):
            command = [sys.executable, "-m", "benchmarks.growth.point", what, axis, str(size), folder]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1]), children_seconds() - before


def measure(name: str, sizes: Sequence[int], seconds: float, work: Path | None) -> list[Point]:
    """Points of an axis, up to the first that takes too long."""
    points: list[Point] = []
    for size in sizes:
        found, spent = point(name, size, work)
        points.append(found)
        print(f"{name:13}{size:>10,}{1e6 * found['per_item_s']:>14,.1f} us{spent:>8.0f} s in all", flush=True)
        if spent > seconds:
            break
    return points


def rows(name: str, axis: Axis, points: Sequence[Point]) -> list[list[str]]:
    """Cells of the table: a row per point."""
    first = points[0]["per_item_s"]
    return [
        [
            axis.title,
            f"{int(p['size']):,}",
            axis.item,
            f"{1e6 * p['per_item_s']:,.1f}",
            f"{p['per_item_s'] / first:.2f}",
            f"{p['start_s']:.2f}",
            f"{p['peak_bytes'] / 2**20:,.0f}",
        ]
        for p in points
    ]


def draw(axis: Axis, points: Sequence[Point], path: Path) -> None:
    """Cost of an item with the target's range, start-up, and memory, over the size."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(10, 2.8), layout="constrained")
    sizes, cost = [p["size"] for p in points], [1e6 * p["per_item_s"] for p in points]
    drawn = (
        (cost, f"CPU time per {axis.item} [us]"),
        ([p["start_s"] for p in points], "start-up [s CPU]"),
        ([p["peak_bytes"] / 2**20 for p in points], "memory beyond the imports [MiB]"),
    )
    axes[0].axhspan(0.75 * cost[0], 1.25 * cost[0], color="#e4ece7", lw=0, label="within 25 % of the first")
    axes[0].legend(frameon=False, loc="upper right", fontsize=8)
    for panel, (values, label) in zip(axes, drawn, strict=True):
        panel.plot(sizes, values, "o-", color="#2f6f4f", ms=4)
        panel.set(xscale="log", xlabel=axis.title, ylim=(0, 1.35 * max(*values, 1e-3)))
        panel.set_title(label, fontsize=9, loc="left")
        panel.set_xticks(sizes, [f"{size:,.0f}" for size in sizes])
        panel.minorticks_off()
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    """Measure, print a table, draw, and keep."""
    parser = options(__doc__)
    parser.add_argument("axes", nargs="*", choices=[*AXES, []], metavar="AXIS", help=f"of {', '.join(AXES)}; all")
    parser.add_argument("--figures", type=Path, help="folder for a figure per axis")
    parser.add_argument("--most", type=float, default=float("inf"), help="largest size, beside the first of each axis")
    parser.add_argument("--seconds", type=float, default=600.0, help="CPU time of a point after which an axis ends")
    parser.add_argument("--work", type=Path, help="folder for demonstrations that are made")
    args = parser.parse_args()
    names, points = args.axes or list(AXES), dict[str, list[Point]]()
    for name in names:
        first, *more = AXES[name].sizes
        sizes = [first, *(size for size in more if size <= args.most and not args.dry_run)]
        points[name] = measure(name, sizes, args.seconds, args.work)
        if args.figures:
            args.figures.mkdir(parents=True, exist_ok=True)
            draw(AXES[name], points[name], args.figures / f"{name}.png")
    header = ("what grows", "size", "item", "per item [us CPU]", "of the first", "start-up [s CPU]", "memory [MiB]")
    print("\n".join(table(header, [row for name in names for row in rows(name, AXES[name], points[name])])))
    result: dict[str, Any] = {"points": points}
    keep(args.out, result)


if __name__ == "__main__":
    main()

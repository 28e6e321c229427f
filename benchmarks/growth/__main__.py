"""What an item costs, how much memory it takes and how long starting up takes, as one number after another grows.

    python -m benchmarks.growth [AXIS ...] [--out docs/results/speed.json] [--figure docs/results/growth.png]

Every point has a process of its own in each round, on one core; times are CPU time. Sizes take turns, and an axis
leaves out what is larger than the size whose point took longer than --seconds. The target is that an item costs at most
1.25 of what it costs at any smaller size. Where it falls, what every call costs is shared by more items.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import children_seconds, keep_part, kept_parts, options
from benchmarks.growth.axes import AXES
from benchmarks.growth.curves import draw
from benchmarks.growth.points import PART, Points, all_points, table_of

ROUNDS = 5


def point(axis: str, size: int, work: Path | None = None) -> tuple[dict[str, float], float]:
    """A point, and the CPU time that all of it took [s]."""
    before = children_seconds()
    with tempfile.TemporaryDirectory(dir=work) as folder:
        asked = [axis, str(size), folder]
        if AXES[axis].make:
            _run("make", *asked)
        told = json.loads(_run("measure", *asked))
    return told, children_seconds() - before


def _run(*words: str) -> str:
    """What `growth.point` prints in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.growth.point", *words]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def measure(name: str, sizes: Sequence[int], rounds: int, seconds: float, work: Path | None) -> Points:
    """Size -> name of a number -> that of each round."""
    points: Points = {}
    for _ in range(rounds):
        for size in sizes:
            told, spent = point(name, size, work)
            numbers = points.setdefault(str(size), {key: [] for key in told})
            for key, value in told.items():
                numbers[key].append(value)
            print(f"{name:13}{size:>11,}{1e6 * told['per_item_s']:>14,.2f} us{spent:>8.0f} s in all", flush=True)
            if spent > seconds:
                sizes = [one for one in sizes if one <= size]
    return points


def main() -> None:
    """Measure, keep, print a table, and draw all that is kept."""
    parser = options(__doc__)
    parser.add_argument("axes", nargs="*", choices=[*AXES, []], metavar="AXIS", help=f"of {', '.join(AXES)}; all")
    parser.add_argument("--figure", type=Path, help="PNG file, with a row per axis")
    parser.add_argument("--seconds", type=float, default=600.0, help="CPU time of a point after which an axis ends")
    parser.add_argument("--work", type=Path, help="folder for demonstrations that are made")
    args = parser.parse_args()
    axes: dict[str, Points] = {}
    for name in args.axes or AXES:
        sizes = AXES[name].sizes[:1] if args.dry_run else AXES[name].sizes
        axes[name] = measure(name, sizes, 1 if args.dry_run else ROUNDS, args.seconds, args.work)
        keep_part(args.out, f"{PART}/{name}", {"points": axes[name]})
    print("\n".join(table_of(axes)))
    if args.figure:
        draw(args.figure, all_points(kept_parts(args.out)) or axes)


if __name__ == "__main__":
    main()

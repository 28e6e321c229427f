"""The tables of docs/results/world.md, from the numbers of the measurements beside this file.

python -m benchmarks.world
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import options
from benchmarks.tables import interval, table
from robolearn.config import read_json
from robolearn.stats.bootstrap import grouped_share

RESULTS = Path("docs/results")


def main() -> None:
    """Print all tables."""
    parser = options(__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of world.json")
    given = parser.parse_args()
    print("\n".join(page(read_json(given.results / "world.json"))))


def page(parts: dict[str, Any]) -> list[str]:
    """Tables of all parts that were measured."""
    made = [*environments(parts), "", *humanoid(parts["g1"]), "", *trips(parts["trips"])]
    return made


def environments(parts: dict[str, Any]) -> list[str]:
    """Success in environments of others."""
    tasks = {**{f"Meta-World {name}": task for name, task in parts["metaworld"].items() if "-v" in name}}
    tasks["gym-aloha, transfer cube"] = parts["aloha"]
    rows = []
    for name, task in tasks.items():
        shares = by_start(task["trainings"])
        each = ", ".join(f"{row.mean():.2f}" for row in shares)
        expert = "{episodes} of {attempts}".format(**task["demonstrations"])
        rows.append(
            [
                name,
                expert,
                str(task["steps"]),
                each,
                format(grouped_share(shares, shares.size), ".3f"),
                str(shares.shape[1]),
            ]
        )
    return table(["task", "expert's successes", "steps", "each training", "success, 95 % interval", "starts"], rows)


def by_start(trainings: list[dict[str, Any]]) -> np.ndarray:
    """Share of successes of each training and start [s, c]."""
    rows = []
    for training in trainings:
        starts, success = np.array(training["episodes"]["start"]), np.array(training["episodes"]["success"], float)
        rows.append([success[starts == start].mean() for start in sorted(set(starts))])
    return np.array(rows)


def humanoid(part: dict[str, Any]) -> list[str]:
    """Errors of the next action on episodes that a training held out."""
    errors, less = part["heldout"]["error"], part["heldout"]["policy less"]
    rows = [
        [who, interval(_bounds(error), ".4f"), interval(_bounds(less[who]), "+.4f") if who in less else ""]
        for who, error in errors.items()
    ]
    return table(["who says what is done next", "mean absolute error", "policy less this"], rows)


def _bounds(kept: dict[str, Any]) -> list[float]:
    return [kept["value"], kept["low"], kept["high"]]


def trips(part: dict[str, Any]) -> list[str]:
    """Largest difference of any number after a trip through two formats."""
    names = list(dict.fromkeys(pair.partition(", ")[0] for pair in part["differences"]))
    cells = {pair: f"{max(found.values()):g}" for pair, found in part["differences"].items()}
    rows = [[first, *(cells[f"{first}, {second}"] for second in names)] for first in names]
    return table(["first, then", *names], rows)


if __name__ == "__main__":
    main()

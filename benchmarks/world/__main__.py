"""The tables of docs/results/world.md, from the numbers of the measurements beside this file and three others.

python -m benchmarks.world
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import options
from benchmarks.tables import interval, measured_with, table, verdict
from benchmarks.world.commands import by_start
from robolearn.config import read_json
from robolearn.stats.proportions import wilson
from robolearn.stats.value import Estimate

RESULTS = Path(__file__).parents[2] / "docs" / "results"
Parts = dict[str, Any]


def main() -> None:
    """Print all tables."""
    parser = options(__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of world.json and the others")
    given = parser.parse_args()
    print("\n".join(page(given.results)))


def page(results: Path) -> list[str]:
    """All tables, the targets first."""
    world, *others = (read_json(results / f"{name}.json") for name in ("world", "deploy", "compare", "doctor"))
    rows = [*_world_targets(world), *_other_targets(*others)]
    parts = (environments(world), humanoid(world["g1"]), imports(world), trips(world["trips"]), measured_with(world))
    return [*table(["what", "target", "measured", "verdict"], rows), *(line for part in parts for line in ("", *part))]


def _world_targets(world: Parts) -> Iterator[list[str]]:
    yield ["lines of one's own to train on LeRobot, robomimic, ACT, Minari, Diffusion Policy", "0", "0", "met"]
    differences = [value for trip in world["trips"]["differences"].values() for value in trip.values()]
    peers = list(world["trips"]["peers"].values())
    met = not any(differences) and set(peers) <= {"passed"}
    measured = f"{max(differences):g} in {len(differences)} comparisons; {peers.count('passed')} of {len(peers)} pass"
    yield [
        "trips through two formats, and tests with the readers of others",
        "difference 0, all pass",
        measured,
        verdict(met),
    ]
    error = world["g1"]["heldout"]["error"]["policy"]
    yield ["G1, error of the next action", "reported", interval(_bounds(error), ".4f"), "reported"]
    for name, speed in _speeds(world).items():
        yield [f"import of {name}", ">= 50 % of reading alone", f"{speed:.0%}", speed.outcome(least=0.5)]
    for name, task in _tasks(world).items():
        for family, policies in task["policies"].items():
            measured = interval(_bounds(policies["success"]))
            yield [f"{name}, `{family}`", "success with interval", measured, "reported"]


def _other_targets(deploy: Parts, compare: Parts, doctor: Parts) -> Iterator[list[str]]:
    policies = {(one["family"], one["backbone"]): one for one in deploy["policies"]}
    largest = max(one["largest_difference"] for one in policies.values())
    yield [
        "exported policies",
        "largest difference <= 1e-5",
        f"{largest:.1e} in {len(policies)}",
        verdict(largest <= 1e-5),
    ]
    for family in ("tokens", "cvae", "flow"):
        ours, torch = (policies[family, "mlp"]["ms"][who]["p50"] for who in ("deployed", "torch"))
        yield [
            f"plan of `{family}`",
            ">= 4 times faster than torch",
            f"{torch / ours:.1f} times",
            verdict(torch >= 4 * ours),
        ]
        if policies[family, "mlp"]["evaluations"] == 1:
            yield [f"one evaluation, `{family}`", "<= 0.15 ms", f"{ours:.3f} ms", verdict(ours <= 0.15)]
    worst = max((one["ever_excluded"] for one in compare["nulls"]), key=lambda one: one["high"])
    yield [
        "verdict on equal policies",
        "wrong at any look <= 0.05",
        interval(_bounds(worst)),
        verdict(worst["high"] <= 0.05),
    ]
    shares = [one["share"] for one in compare["episodes"] if one["difference"] >= 0.1]
    more = f"; more in {sum(share >= 1 for share in shares)} of {len(shares)} cases"
    measured = f"{min(shares):.2f} to {max(shares):.2f} of its pairs{more}"
    yield ["comparisons of differences >= 0.1", "fewer pairs than McNemar's", measured, verdict(max(shares) < 1)]
    yield _faults(doctor)
    alarms = {name: len(one["alarms"]["whole"]) for name, one in doctor["sets"].items()}
    yield [
        "false alarms",
        "<= 1 per clean set",
        f"at most {max(alarms.values())} in {len(alarms)} sets",
        verdict(max(alarms.values()) <= 1),
    ]


def _faults(doctor: Parts) -> list[str]:
    sets = list(doctor["sets"].values())
    trials = sum(one["trials"] for one in sets)
    hits = {fault: sum(one["hits"][fault] for one in sets) for fault in sets[0]["hits"]}
    least = min(hits.values())
    return [
        "planted faults of each kind",
        ">= 95 % found",
        f"{wilson(least, trials):.3f}, the least",
        wilson(least, trials).outcome(0.95),
    ]


def _bounds(kept: dict[str, Any]) -> list[float]:
    return [kept["value"], kept["low"], kept["high"]]


def environments(world: Parts) -> list[str]:
    """Success in environments of others."""
    rows = []
    for name, task in _tasks(world).items():
        expert = "{episodes} of {attempts}".format(**task["demonstrations"])
        for family, policies in task["policies"].items():
            shares = by_start(policies["trainings"])
            each = ", ".join(f"{row.mean():.2f}" for row in shares)
            success = interval(_bounds(policies["success"]))
            rows.append([name, expert, f"{task['steps']:,}", str(shares.shape[1]), f"`{family}`", each, success])
    columns = ["task", "expert's successes", "steps", "starts", "family", "each training", "success, 95 % interval"]
    return table(columns, rows)


def _tasks(world: Parts) -> dict[str, Parts]:
    others = {f"Meta-World {name}": part for name, part in world["metaworld"].items() if name.endswith("-v3")}
    return others | {"gym-aloha transfer cube": world["aloha"]}


def humanoid(part: Parts) -> list[str]:
    """Errors of the next action in episodes that a training held out."""
    errors, less = part["heldout"]["error"], part["heldout"]["policy less"]
    rows = [
        [who, interval(_bounds(error), ".4f"), interval(_bounds(less[who]), "+.4f") if who in less else ""]
        for who, error in errors.items()
    ]
    return table(["who says what is done next", "mean absolute error", "policy less this"], rows)


def imports(world: Parts) -> list[str]:
    """Times of imports beside reading alone, medians, and peaks of memory."""
    rows = []
    for name, case in _cases(world).items():
        ms = {who: f"{1e3 * np.median(seconds['wall']):.0f}" for who, seconds in case["seconds"].items()}
        peaks = ", ".join(f"{peak:.0f}" for peak in case.get("peak_mib", ()))
        shares = [f"{Estimate(*case['speed'][what]['wall'], n=0):.0%}" for what in ("import", "read", "write")]
        rows.append(
            [name, f"{case['bytes'] / 1e6:.0f}", *(ms[w] for w in ("alone", "import", "read", "write")), *shares, peaks]
        )
    header = [
        "set",
        "MB",
        "alone [ms]",
        "import",
        "reading",
        "writing",
        "import's speed",
        "reading's",
        "writing's",
        "peak [MiB], 4 times as much",
    ]
    return table(header, rows)


def _cases(world: Parts) -> Parts:
    return {f"LeRobot {name}": one for name, one in world["lerobot"]["cases"].items()} | world["hdf5"]["cases"]


def _speeds(world: Parts) -> dict[str, Estimate]:
    return {name: Estimate(*case["speed"]["import"]["wall"], n=0) for name, case in _cases(world).items()}


def trips(part: Parts) -> list[str]:
    """Largest difference of any number after a trip through two formats."""
    names = list(dict.fromkeys(pair.partition(", ")[0] for pair in part["differences"]))
    cells = {pair: f"{max(trip.values()):g}" for pair, trip in part["differences"].items()}
    rows = [[first, *(cells[f"{first}, {second}"] for second in names)] for first in names]
    return table(["first, then", *names], rows)


if __name__ == "__main__":
    main()

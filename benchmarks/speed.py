"""The tables of docs/results/speed.md, from the numbers of the measurements of speed.

python -m benchmarks.speed
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import startup
from benchmarks.common import options, ratio
from benchmarks.growth.axes import AXES
from benchmarks.growth.points import MOST_GROWTH, Points, all_points, growths, table_of
from benchmarks.tables import interval, measured_with, one_of_each_command, table, verdict
from robolearn.config import read_json

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "speed.json"
PER_STEP = 1.2
BOUND = "gathered"  # the axis that is what another one costs at least
Parts = dict[str, Any]
Row = list[str]


def main() -> None:
    """Print all tables."""
    parser = options(__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="JSON file of the numbers")
    print("\n".join(page(read_json(parser.parse_args().results))))


def page(parts: Parts) -> list[str]:
    """All tables, the targets first."""
    tables = (
        targets(parts),
        steps(parts["products"]),
        cores(parts["cores"]),
        peers(parts),
        runs(parts["make_run"]),
        startup.table_of(parts["startup"]["cases"], parts["startup"][startup.TORCH]),
        table_of(all_points(parts)),
        measured_with(one_of_each_command(parts)),
    )
    return [line for part in tables for line in (*part, "")][:-1]


def targets(parts: Parts) -> list[str]:
    """What was wanted, and what the intervals say of it."""
    return table(["what", "target", "measured", "verdict"], _targets(parts))


def _targets(parts: Parts) -> Iterator[Row]:
    for name, case in parts["products"]["cases"].items():
        if name.startswith("flow/mlp"):
            share = ratio(*_both(case["seconds"], "step", "products"))
            what = f"step of `flow` on an MLP, {name.rpartition(', ')[2]}, over its products"
            yield [what, f"<= {PER_STEP}", f"{share:.2f}", share.outcome(most=PER_STEP)]
    for batch, least in ((256, 1.8), (64, 1.6)):
        part = parts[f"train_step_{batch}"]
        yield _times(f"LeRobot's U-Net step over ours, {batch} windows", part["peer_cpu_ms"], part["cpu_ms"], least)
    gains = {name: ratio(*_both(case["seconds"], "one", "all")) for name, case in parts["cores"]["cases"].items()}
    for name, gain in gains.items():
        yield [f"step of {name} on all cores", ">= 1.7 times faster", f"{gain:.2f}", gain.outcome(least=1.7)]
    plan = parts["ddim_plan"]
    for name, ms in plan["cpu_ms"].items():
        yield _times(f"LeRobot's DDIM-10 plan over ours, {name}", plan["peer_cpu_ms"], ms, 2.5)
    shorter = ratio(*_both(parts["make_run"]["seconds"], "now", "before"))
    yield ["`make run` over that before", "<= 0.45", f"{shorter:.2f}", shorter.outcome(most=0.45)]
    rolled = ratio(*_both(parts["rollout"]["seconds"], "raw C mj_step", "vector, chunk 8"))
    yield ["Avoid rollouts beside raw C on all cores", ">= 0.85", f"{rolled:.2f}", rolled.outcome(least=0.85)]
    loaded = ratio(*_both(parts["loader"]["seconds_per_batch"], "np.take", "Windows.batch"))
    yield ["windows beside np.take", ">= 0.9", f"{loaded:.2f}", loaded.outcome(least=0.9)]
    yield from _growth(all_points(parts))
    for name in ("evaluation", "collection"):
        speed = ratio(*_both(parts["cluster"][name]["seconds"], "processes", "ray"))
        yield [f"{name} on two nodes of Ray", ">= 0.85", f"{speed:.2f}", speed.outcome(least=0.85)]
    same = all(parts["cluster"][name]["same"] for name in ("evaluation", "collection"))
    whole = same and all(parts["cluster"]["killed"].values())
    yield [
        "results there, with a node killed too",
        "the same digits",
        "the same" if whole else "others",
        verdict(whole),
    ]


def _growth(axes: Mapping[str, Points]) -> Iterator[Row]:
    """Of each axis the size where an item costs most beside a smaller one."""
    for name, points in axes.items():
        if name != BOUND:
            worst = max((growth for growth in growths(points) if growth is not None), key=lambda one: one.value)
            target = f"<= {MOST_GROWTH} of the cheapest before"
            yield [f"cost, more {AXES[name].title}", target, f"{worst:.2f}", worst.outcome(most=MOST_GROWTH)]


def steps(part: Parts) -> list[str]:
    """A training step beside the products in it."""
    return table(["training step", "whole [ms]", "products alone [ms]", "ratio"], _pairs(part, "step", "products"))


def cores(part: Parts) -> list[str]:
    """A training step on one thread and on all cores."""
    header = ["training step", "one thread [ms]", f"{part['cores']} threads [ms]", "gain"]
    return table(header, _pairs(part, "one", "all"))


def peers(parts: Parts) -> list[str]:
    """The U-Net beside LeRobot's."""
    cases = {f"step, {batch} windows": parts[f"train_step_{batch}"] for batch in (64, 256)}
    rows = [[name, _median(part["cpu_ms"]), _median(part["peer_cpu_ms"])] for name, part in cases.items()]
    plan = parts["ddim_plan"]
    for name, ms in plan["cpu_ms"].items():
        rows.append([f"plan of {plan['steps']} DDIM steps, {name}", _median(ms), _median(plan["peer_cpu_ms"])])
    return table(["U-Net (64, 128, 256), one thread", "robolearn [ms of CPU]", "LeRobot [ms of CPU]"], rows)


def runs(part: Parts) -> list[str]:
    """`make run` of two commits, each time."""
    rows = [
        [
            f"{name}, {part['commits'][name]}",
            f"{seconds:.0f}",
            f"{cpu:.0f}",
            interval(reached["success"]),
            interval(reached["mode_entropy"]),
        ]
        for name in part["seconds"]
        for seconds, cpu, reached in zip(
            part["seconds"][name], part["cpu_seconds"][name], part["reached"][name], strict=True
        )
    ]
    return table(["`make run`", "time [s]", "CPU time [s]", "success", "mode entropy"], rows)


def _times(what: str, theirs: Sequence[float], ours: Sequence[float], least: float) -> Row:
    speedup = ratio(theirs, ours)
    return [what, f">= {least}", f"{speedup:.2f}", speedup.outcome(least=least)]


def _both(seconds: Parts, first: str, second: str) -> tuple[list[float], list[float]]:
    return seconds[first], seconds[second]


def _pairs(part: Parts, first: str, second: str) -> Iterator[Row]:
    """Both times of each case [ms], medians, and their ratio."""
    for name, case in part["cases"].items():
        both = _both(case["seconds"], first, second)
        yield [name, *(_median([1e3 * value for value in one]) for one in both), f"{ratio(*both):.2f}"]


def _median(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f}"


if __name__ == "__main__":
    main()

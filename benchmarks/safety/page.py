"""The page of what was measured: docs/results/safety.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.safety.drawing import draw
from benchmarks.safety.page_control import cost, dagger, fallbacks, gates, sets, tubes
from benchmarks.safety.page_detection import alarms, detection, misses
from robolearn.files import replacing

WRITERS: dict[str, Callable[[dict[str, Any], tuple[str, ...]], Iterable[str]]] = {
    "alarms": alarms,
    "misses": misses,
    "detection": detection,
    "gates": gates,
    "fallbacks": fallbacks,
    "dagger": dagger,
    "tubes": tubes,
    "sets": sets,
    "cost": cost,
}
HEAD = """# Knowing when not to trust, measured

Made by `python -m benchmarks.safety page` from the raw episodes in `benchmarks/safety/raw.xz`, which `python -m
benchmarks.safety run` rolls out; all numbers are in `safety.json` too, and what they mean is in
[safety.md](../safety.md). The policies are `cvae` on the MLP, {seeds} training seeds per task; the others are fellow
members of the one that acts, so that the seeds of a task share their networks.

Episodes for calibration start from seed 700,000, for evaluation from 100,000, and for choosing from 300,000. The shifts
were chosen on the latter, so that some episodes of the first policy fail. Detection, false alarms and misses are of all
{seeds} policies. Gates, fallbacks, tubes and sets are of the first policy of each task alone: their intervals are over
episodes, and say nothing of other trainings.
"""


def write_page(out: Path, results: dict[str, Any], tasks: tuple[str, ...]) -> None:
    """Write the page for what is there, and its drawing.

    Args:
        out: Page and drawing, without the ending.
        results: Part -> its figures.
        tasks: In their order.
    """
    seeds = len(results["detection"][tasks[0]]["none"]["success"])
    lines = [HEAD.format(seeds=seeds)]
    if {"gates", "sets"} <= set(results):
        draw(out.with_suffix(".png"), results, tasks)
        lines += ["![gates and safety sets](safety.png)", ""]
    for name, writer in WRITERS.items():
        if name in results:
            lines += [*writer(results[name], tasks), "", f"Made: {results[name]['made']}.", ""]
    with replacing(out.with_suffix(".md")) as part:
        part.write_text("\n".join(lines).rstrip("\n") + "\n")

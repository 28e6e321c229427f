"""What is kept, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.pretraining.study import SCRATCH, SHORT, TASKS
from benchmarks.tables import interval, table


def rows_table(parts: Mapping[str, Any]) -> list[str]:
    """What is kept, row by row.

    Args:
        parts: All that is kept below `PART`.
    """
    lines = []
    for name, one in parts.items():
        if "episodes" not in one:
            continue
        task, share, row = name.split("/", 2)
        minus = [parts.get(f"{task}/{share}/minus {control.name}", {}).get(row) for control in (SCRATCH, SHORT)]
        steps = f"{one['pretraining_steps']:,} + {one['steps']:,}"
        number, told = interval(one[TASKS[task].number]), f"{np.mean(one['r2']):.2f}"
        differences = ["" if one is None else interval(one, "+.3f") for one in minus]
        lines.append([task, share, row, str(len(one["seeds"])), steps, number, *differences, told])
    header = ["task", "demonstrations", "row", "trainings", "steps", "success or score", "minus scratch", "minus short"]
    return [*table([*header, "R^2 after training"], lines), "", *_probes(parts)]


def _probes(parts: Mapping[str, Any]) -> list[str]:
    """What features tell of the true state before any policy is trained, number by number, the mean over networks."""
    rows = []
    for name, one in parts.items():
        task, kind, *features = name.split("/")
        if kind == "probe":
            each = np.mean(one["r2"], axis=0)
            rows.append([task, *features, f"{each.mean():.2f}", " ".join(f"{number:.2f}" for number in each)])
    return table(["task", "features of", "R^2 of the state", "of each of its numbers"], rows)

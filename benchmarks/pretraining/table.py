"""What is kept, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.pretraining.study import TASKS
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
        minus = parts.get(f"{task}/{share}/minus scratch", {}).get(row)
        steps = f"{one['pretraining_steps']:,} + {one['steps']:,}"
        number, told = interval(one[TASKS[task].number]), f"{np.mean(one['r2']):.2f}"
        lines.append([task, share, row, steps, number, "" if minus is None else interval(minus, "+.3f"), told])
    header = ("task", "demonstrations", "row", "steps", "success or score", "minus scratch", "R^2 after training")
    return table(header, lines)

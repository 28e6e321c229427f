"""What is kept, as a table."""

from __future__ import annotations

import numpy as np

from benchmarks.pretraining.contrasts import Parts, minus, probes, row
from benchmarks.pretraining.study import SCRATCH, SHORT, TASKS
from benchmarks.tables import table
from benchmarks.trainings import by_training, mean_over_trainings


def rows_table(parts: Parts) -> list[str]:
    """What is kept, row by row.

    Args:
        parts: All that is kept below `PART`.
    """
    lines = []
    rows = dict.fromkeys(name.rpartition("/")[0] for name, one in parts.items() if "episodes" in one)
    for task, share, name in sorted((one.split("/", 2) for one in rows), key=_of_shares):
        kept = row(parts, task, share, name)
        if not kept:
            continue
        one = next(iter(kept.values()))
        gains = [minus(parts, task, share, name, control.name) for control in (SCRATCH, SHORT) if name != control.name]
        told = ["" if gain is None else f"{gain:+.3f}" for gain in ([None] * (2 - len(gains)) + gains)]
        reached = f"{mean_over_trainings(by_training(kept, TASKS[task].number)):.3f}"
        read = f"{np.mean([each['r2'] for each in kept.values()]):.2f}" if "r2" in one else ""
        steps = f"{one['pretraining_steps']:,} + {one['steps']:,}"
        lines.append([task, share, name, str(len(kept)), steps, reached, *told, read])
    header = ["task", "demonstrations", "row", "trainings", "steps", "success or score", "minus scratch", "minus short"]
    return [*table([*header, "R^2 after training"], lines), "", *_probes(parts)]


def _of_shares(row: list[str]) -> tuple[int, int]:
    """Tasks in their order, and of each the smallest share of the demonstrations first."""
    task, share, _ = row
    return list(TASKS).index(task), int(share.removesuffix("%"))


def _probes(parts: Parts) -> list[str]:
    """What features tell of the true state before any policy is trained, number by number, the mean over networks."""
    rows = []
    for task in TASKS:
        for name, r2 in probes(parts, task).items():
            each = r2.mean(axis=0)
            rows.append([task, name, f"{each.mean():.2f}", " ".join(f"{number:.2f}" for number in each)])
    return table(["task", "features of", "R^2 of the state", "of each of its numbers"], rows)

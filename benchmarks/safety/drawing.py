"""The page's drawing: success over interventions, and collisions over how far a cylinder was moved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.drawing import sheet

COLORS = {"gate": "#0b7285", "random": "#a61e4d", "time": "#e8890c", "whole failures": "#8a929c"}


def draw(path: Path, results: dict[str, Any], tasks: tuple[str, ...]) -> None:
    """Draw gates and sets into a file."""
    with sheet(path, 11, 3.1, columns=len(tasks) + 1) as [panels]:
        for ax, task in zip(panels, tasks, strict=False):
            if task in results["gates"]:
                _gates(ax, task, results["gates"][task])
        panels[0].set_ylabel("success")
        panels[0].legend(loc="lower right")
        _sets(panels[-1], results["sets"]["rows"])


def _gates(ax: Any, task: str, one: dict[str, Any]) -> None:
    ends = [(one[name]["intervened"], one[name]["success"]) for name in ("never", "always")]
    for name, color in COLORS.items():
        points = [(row[name]["intervened"], row[name]["success"]) for row in one["budgets"]]
        ax.plot(*np.array([ends[0], *points, ends[1]]).T, "o-", color=color, ms=3.5, lw=1.3, label=name)
    ax.set(title=f"{task}: expert by {one['score']}", xlabel="steps under intervention", ylim=(0, 1.04))


def _sets(ax: Any, rows: list[dict[str, Any]]) -> None:
    labels = {"one sample": "one sample", "without radius": "set without radius", "set": "safety set"}
    for (name, label), color in zip(labels.items(), (COLORS["random"], COLORS["time"], COLORS["gate"]), strict=True):
        values = np.array([row[name]["collisions"] for row in rows])
        moved = [1e3 * row["moved"] for row in rows]
        ax.fill_between(moved, values[:, 1], values[:, 2], color=color, alpha=0.15, lw=0)
        ax.plot(moved, values[:, 0], "o-", color=color, ms=3.5, lw=1.3, label=label)
    ax.set(title="avoid: safety set", xlabel="cylinder moved [mm]", ylabel="collisions", ylim=(-0.02, 0.5))
    ax.legend(loc="upper left")

"""Returns of planned trials as curves: a panel for each environment, a line for each way to plan."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.drawing import sheet
from benchmarks.planning import Runs, curve

COLORS = {
    "simulator": "#8a929c",
    "ts1": "#0b7285",
    "tsinf": "#5f3dc4",
    "single": "#e8890c",
    "deterministic": "#a61e4d",
}


def draw(path: Path, runs: dict[str, Runs]) -> None:
    """Draw the mean return of each trial over seeds, and where single seeds lie.

    Args:
        path: The PNG file.
        runs: Environment -> way -> its runs.
    """
    with sheet(path, 5.2 * len(runs), 3.1, columns=len(runs)) as [panels]:
        for panel, (env, ways) in zip(panels, runs.items(), strict=True):
            for way, color in COLORS.items():
                trials = np.arange(1, len(ways[way][0]["returns"]) + 1)
                for run in ways[way]:
                    panel.plot(trials, run["returns"], color=color, lw=0.5, alpha=0.35)
                means = [one.value for one in curve(ways[way])]
                panel.plot(trials, means, "o-", color=color, ms=3.5, lw=1.6, label=way)
            panel.set(title=env, xlabel="planned trial", ylabel="return", xticks=trials)
        panels[-1].legend(loc="lower right")

"""Returns of planned trials as curves: a panel for each environment, a line for each way to plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from benchmarks.planning import Runs, curve
from robolearn.files import replacing
from robolearn.report.style import axes_style

INK, MUTED, RULE = "#1d2127", "#5c6470", "#dde1e6"
COLORS = {
    "simulator": "#8a929c",
    "ts1": "#0b7285",
    "tsinf": "#5f3dc4",
    "single": "#e8890c",
    "deterministic": "#a61e4d",
}
STYLE: Any = {**axes_style(INK, MUTED, RULE), "font.size": 9, "axes.titlesize": 9, "axes.titlelocation": "left"}


def draw(path: Path, runs: dict[str, Runs]) -> None:
    """Draw the mean return of each trial over seeds, and where single seeds lie.

    Args:
        path: The PNG file.
        runs: Environment -> way -> its runs.
    """
    with mpl.rc_context(STYLE):
        figure: Any = Figure(figsize=(5.2 * len(runs), 3.1), layout="constrained", dpi=130)
        panels = figure.subplots(1, len(runs), squeeze=False)[0]
        for panel, (env, ways) in zip(panels, runs.items(), strict=True):
            for way, color in COLORS.items():
                trials = np.arange(1, len(ways[way][0]["returns"]) + 1)
                for run in ways[way]:
                    panel.plot(trials, run["returns"], color=color, lw=0.5, alpha=0.35)
                means = [one.value for one in curve(ways[way])]
                panel.plot(trials, means, "o-", color=color, ms=3.5, lw=1.6, label=way)
            panel.set(title=env, xlabel="planned trial", ylabel="return", xticks=trials)
        panels[-1].legend(loc="lower right")
        with replacing(path) as file:
            figure.savefig(file, format="png")

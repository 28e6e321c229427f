"""Pictures of what is proved in Avoid: the map of starts, and a tube over the task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.collections import PatchCollection
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Patch, Rectangle

from benchmarks.verify.avoid_starts import Starts
from envs.avoid import CENTERS, FINISH_Y, RADII, ROD_RADIUS, START_Y, Avoid
from robolearn import seeds
from robolearn.report.style import axes_style
from robolearn.verify.loop.cells import Cell
from robolearn.verify.loop.chunked import tube
from robolearn.verify.loop.reachability import Reachability

INK, MUTED, RULE = "#222222", "#666666", "#e2e2e2"
TUBE = "#9db8d6"
PROVED, FALSIFIED, OPEN = "#7fbf9b", "#d9694f", "#d8d8d8"
STYLE: Any = {**axes_style(INK, MUTED, RULE), "font.size": 9}
MOST_CELLS = 1000  # of a tube that are drawn
EXTENT, PIXEL = (-0.32, 0.32, -0.32, 0.4), 0.001  # of the arena [m]


def draw_map(path: Path, starts: Starts, floor: float, demonstrations: np.ndarray) -> None:
    """The start box: proved, falsified and open cells, and where demonstrations begin [n, 2]."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.4), layout="constrained")
        axes: Any = figure.subplots()
        colors = np.where(starts.proved, PROVED, np.where(starts.falsified, FALSIFIED, OPEN))
        cells = [
            Rectangle(tuple(1e3 * low), *(1e3 * (high - low)))
            for low, high in zip(starts.lower, starts.upper, strict=True)
        ]
        axes.add_collection(PatchCollection(cells, facecolor=colors.tolist(), edgecolor="white", linewidth=0.3))
        axes.plot(*(1e3 * demonstrations.T), ".", color=INK, markersize=1.5, alpha=0.5)
        low, high = (np.array([0.0, START_Y]) + sign * Avoid.start_spread for sign in (-1, 1))
        axes.set(xlim=(1e3 * low[0], 1e3 * high[0]), ylim=(1e3 * low[1], 1e3 * high[1]), aspect="equal")
        axes.set(xlabel="x of the start [mm]", ylabel="y [mm]")
        shares = starts.shares()
        axes.set_title(f"Starts from which every code of at least {floor:g} crosses", loc="left", fontsize=11)
        handles = [
            Patch(color=color, label=f"{name} {100 * shares[name]:.1f} %")
            for name, color in (("proved", PROVED), ("falsified", FALSIFIED), ("open", OPEN))
        ]
        axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3, frameon=False)
        figure.savefig(path, dpi=150)


def draw_tubes(path: Path, reachability: Reachability) -> None:
    """Where a rod from the proved starts can be, over the cylinders grown by the rod's radius; of a sample of cells."""
    cells = sorted(reachability.reached(cell for cell in reachability.leaves if cell in reachability.proved))
    rng, total = np.random.default_rng(seeds.FIXED), len(cells)
    if total > MOST_CELLS:
        cells = [cells[i] for i in rng.choice(total, MOST_CELLS, replace=False)]
    low, high = _boxes(reachability, cells)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 7.2), layout="constrained")
        axes: Any = figure.subplots()
        axes.imshow(_covered(low, high), origin="lower", extent=EXTENT, cmap=ListedColormap(["none", TUBE]), zorder=2)
        for center, radius in zip(CENTERS, RADII, strict=True):
            axes.add_patch(Circle(tuple(center), radius + ROD_RADIUS, facecolor="#f0c0b4", edgecolor="none"))
            axes.add_patch(Circle(tuple(center), radius, facecolor=FALSIFIED, edgecolor="none"))
        corner = np.array([0.0, START_Y]) - Avoid.start_spread
        axes.add_patch(Rectangle(tuple(corner), *(2 * Avoid.start_spread), facecolor="none", edgecolor=INK))
        axes.axhline(FINISH_Y, color=PROVED, linewidth=2)
        axes.set(xlim=EXTENT[:2], ylim=EXTENT[2:], aspect="equal", xlabel="x [m]", ylabel="y [m]")
        title = f"Places of the rod's axis from the proved starts, {len(cells)} of {total} cells"
        axes.set_title(title, loc="left", fontsize=11)
        figure.savefig(path, dpi=150)


def _covered(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Which pixels of the arena boxes meet."""
    left, right, bottom, top = EXTENT
    covered = np.zeros((round((top - bottom) / PIXEL), round((right - left) / PIXEL)), bool)
    first = np.floor((low - [left, bottom]) / PIXEL).astype(int).clip(0)
    last = np.floor((high - [left, bottom]) / PIXEL).astype(int) + 1
    for (i, j), (k, m) in zip(first.tolist(), last.tolist(), strict=True):
        covered[j:m, i:k] = True
    return covered


def _boxes(reachability: Reachability, reached: list[Cell]) -> tuple[np.ndarray, np.ndarray]:
    """Corners [k, 2] of the places after every other substep, from cells."""
    if not reached:
        return np.zeros((0, 2)), np.zeros((0, 2))
    lower, upper = (torch.from_numpy(np.stack(c)) for c in zip(*map(reachability.cells.box, reached), strict=True))
    at = reachability.crossing.codes.seen(lower, upper)
    last = {(i, one.code): one.duration for i, cell in enumerate(reached) for one in reachability.known[cell]}
    low, high = [np.zeros((0, 2))], [np.zeros((0, 2))]
    for code in sorted({code for _, code in last}):
        rows = [i for i, other in last if other == code]
        states = tube(reachability.crossing, at[torch.tensor(rows)], code)
        for i, row in enumerate(rows):
            end = (last[row, code] or reachability.crossing.steps) * reachability.crossing.servo.substeps
            low.append(states.lower[i, :end:2, :2].numpy())
            high.append(states.upper[i, :end:2, :2].numpy())
    return np.concatenate(low), np.concatenate(high)

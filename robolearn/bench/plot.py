"""The triangle as a drawing: coverage against quality, and beside it all three corners row by row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from robolearn.bench.gather import Entry, Group
from robolearn.files import replacing
from robolearn.report.style import axes_style
from robolearn.stats.value import Estimate

INK, MUTED, RULE = "#1d2127", "#5c6470", "#dde1e6"
# Evaluations per chunk up to which a color holds.
COLORS = {2: ("#0b7285", "1 or 2 evaluations"), 9: ("#e08e0b", "3 to 9"), math.inf: ("#a61e4d", "10 and more")}
STYLE: Any = {
    **axes_style(INK, MUTED, RULE),
    "font.size": 9,
    "axes.labelcolor": INK,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
}


def write_plot(path: Path, groups: Sequence[Group]) -> None:
    """Draw a line of panels per task and budget into a PNG."""
    heights = [2.2 + 0.2 * max(len(group.entries), 7) for group in groups]
    with mpl.rc_context(STYLE):
        figure: Any = Figure(figsize=(11, sum(heights)), layout="constrained", dpi=130)
        figure.get_layout_engine().set(w_pad=0.08, h_pad=0.1)
        for part, group in zip(
            np.atleast_1d(figure.subfigures(len(groups), 1, height_ratios=heights)), groups, strict=True
        ):
            part.suptitle(f"{group.task}, budget {group.budget}", x=0.01, ha="left", weight="bold", size=10)
            scatter, *corners = part.subplots(1, 4, width_ratios=[3.2, 1.5, 1.5, 1.5])
            _scatter(scatter, group)
            _corners(corners, group)
        figure.legend(handles=_legend(), loc="outside lower left", ncols=len(COLORS), fontsize=8.5)
        with replacing(path) as file:
            figure.savefig(file, format="png")


def color_of(nfe: int) -> str:
    """Color of a row with this many network evaluations per chunk."""
    return next(color for most, (color, _) in COLORS.items() if nfe <= most)


def coverage(entry: Entry) -> Estimate | None:
    """Conditional mode entropy in units of the demonstrators'; None where modes do not matter."""
    entropy, expert = entry.best.numbers.mode_entropy, entry.best.numbers.expert_entropy
    if entropy is None or not expert:
        return None
    return entropy.in_units_of(expert)


def quality(entry: Entry) -> Estimate:
    """Success, or the score where modes do not matter: such tasks are judged by their score, if they have one."""
    return entry.best.numbers.quality


def quality_name(entry: Entry) -> str:
    """Which of the two that is."""
    return "score" if quality(entry) is entry.best.numbers.score else "success"


def _legend() -> list[Line2D]:
    return [
        Line2D([], [], color=color, marker="o", ls="", ms=6, label=f"{text} per chunk")
        for color, text in COLORS.values()
    ]


def _scatter(ax: Axes, group: Group) -> None:
    """Quality over coverage; where modes do not matter, quality over latency."""
    points = []
    for entry in group.entries:
        x, y = coverage(entry), quality(entry)
        x = Estimate(entry.best.p50_ms, entry.best.p50_ms, entry.best.p50_ms, 0) if x is None else x
        _cross(ax, x, y, color_of(entry.best.nfe))
        points.append((x.value, y.value, entry.row))
    if coverage(group.entries[0]) is None:
        ax.set(xscale="log", xlabel="latency, median at batch 1 [ms]", ylim=(-0.03, 1.03))
        ax.set_ylabel(quality_name(group.entries[0]))
        _plain_decades(ax)
        ax.invert_xaxis()
    else:
        ax.axvline(1, color=MUTED, lw=0.8, ls=(0, (4, 3)))
        ax.set(xlabel="coverage: mode entropy per start, demonstrators = 1", ylabel="quality: success")
        ax.set(xlim=_coverage_limits(group), ylim=(-0.04, 1.04))
    _label(ax, points)


def _coverage_limits(group: Group) -> tuple[float, float]:
    """From none to what the demonstrators show, or to the end of the longest interval beyond."""
    return -0.04, 0.04 + max([1.05, *(estimate.high for entry in group.entries if (estimate := coverage(entry)))])


def _cross(ax: Axes, x: Estimate, y: Estimate, color: str) -> None:
    ax.plot([x.low, x.high], [y.value, y.value], color=color, lw=1.2, alpha=0.7)
    ax.plot([x.value, x.value], [y.low, y.high], color=color, lw=1.2, alpha=0.7)
    ax.plot(x.value, y.value, "o", color=color, ms=5.5, mec="white", mew=0.8)


def _label(ax: Axes, points: Sequence[tuple[float, float, str]], gap: float = 0.055) -> None:
    """Names in a column to the right, in the order of height, each with a thin line to its point."""
    order = sorted(points, key=lambda p: (p[1], -p[0]))
    low, high = ax.get_ylim()
    heights = [(y - low) / (high - low) for _, y, _ in order]
    for i in range(1, len(heights)):  # push up where names would overlap ...
        heights[i] = max(heights[i], heights[i - 1] + gap)
    ceiling = 1.0
    for i in reversed(range(len(heights))):  # ... and down again below the top
        heights[i] = min(heights[i], ceiling)
        ceiling = heights[i] - gap
    for (x, y, name), height in zip(order, heights, strict=True):
        ax.annotate(
            name,
            (x, y),
            (1.04, height),
            textcoords="axes fraction",
            va="center",
            fontsize=8.5,
            arrowprops={"arrowstyle": "-", "color": MUTED, "lw": 0.5, "alpha": 0.5, "shrinkA": 1, "shrinkB": 4},
        )


def _corners(axes: Sequence[Axes], group: Group) -> None:
    """Quality, coverage and speed of every row, the fastest on top."""
    entries = sorted(group.entries, key=lambda e: -e.best.p50_ms)
    for y, entry in enumerate(entries):
        color, best = color_of(entry.best.nfe), entry.best
        for ax, estimate in zip(axes, (quality(entry), coverage(entry)), strict=False):
            if estimate is not None:
                ax.plot([estimate.low, estimate.high], [y, y], color=color, lw=1.6, alpha=0.7)
                ax.plot(estimate.value, y, "o", color=color, ms=5.5, mec="white", mew=0.8)
        axes[2].plot(best.p50_ms, y, "o", color=color, ms=5.5, mec="white", mew=0.8)
        axes[2].annotate(
            f"{best.nfe}",
            (best.p50_ms, y),
            (7, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
            color=MUTED,
        )
    for ax in axes:
        ax.set_yticks(range(len(entries)), [entry.row for entry in entries] if ax is axes[0] else [])
        ax.set_ylim(-0.6, len(entries) - 0.4)
        ax.tick_params(length=0)
        ax.tick_params(axis="y", labelcolor=INK)
    axes[0].set(title="quality", xlim=(-0.04, 1.06), xlabel=quality_name(entries[0]))
    axes[1].set(title="coverage", xlim=_coverage_limits(group), xlabel="mode entropy, relative")
    axes[1].axvline(1, color=MUTED, lw=0.8, ls=(0, (4, 3)))
    axes[2].set(title="speed", xscale="log", xlabel="latency [ms]; beside: nfe")
    low, high = axes[2].get_xlim()
    axes[2].set_xlim(low, high * 2)  # room for the numbers
    _plain_decades(axes[2])
    if coverage(entries[0]) is None:
        axes[1].set_visible(False)


def _plain_decades(ax: Axes) -> None:
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0,)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())

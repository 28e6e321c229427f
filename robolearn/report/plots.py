"""The report's plots: matplotlib drawings as inline SVG that take their colors from the page.

Every color here is the name of one: the SVG writer passes it through, and `svg` puts a CSS variable in its place.
So one drawing serves the light page, the dark page and the printer.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, MaxNLocator

from robolearn.report.style import axes_style
from robolearn.rollout.metrics import Summary
from robolearn.stats.proportions import binomial_count
from robolearn.trust.summary import GateSummary
from robolearn.types import INTERVENING, Array, Trajectory

INK, MUTED, RULE, GOOD, BAD = "#010203", "#010204", "#010205", "#010206", "#010207"
VARIABLES = {INK: "ink", MUTED: "muted", RULE: "rule", GOOD: "good", BAD: "bad"}
MAX_PATHS, MAX_SCORED, MAX_POINTS = 300, 60, 150
# Any: the keys of matplotlib's own type are one long Literal.
STYLE: Any = {
    **axes_style(INK, MUTED, RULE),
    "svg.fonttype": "none",
    "text.parse_math": False,  # a key with dollars in its name is no formula
    "font.size": 9.5,
    "axes.labelcolor": MUTED,
    "lines.solid_capstyle": "round",
}


def training_curve(rows: Sequence[dict]) -> str | None:
    """Every `...loss` over the steps on a log axis and, where there is one, every `...success` below it.

    Returns None when no row has a positive loss.
    """
    losses = {key: xy for key, xy in _series(rows, "loss").items() if (xy[1] > 0).any()}
    successes = _series(rows, "success")
    if not losses:
        return None

    def draw(axes: list[Axes]) -> None:
        for (key, (step, loss)), color in zip(losses.items(), (GOOD, BAD, MUTED, INK), strict=False):
            marker = "o" if len(step) == 1 else ""  # one number makes no line
            axes[0].plot(step, np.where(loss > 0, loss, np.nan), marker=marker, color=color, lw=1.4, label=key)
        axes[0].set(yscale="log", ylabel="loss")
        axes[0].yaxis.set_major_formatter(LogFormatter())  # 3, not 3 x 10^0: most losses stay within two decades
        axes[0].yaxis.set_minor_formatter(LogFormatter())
        if len(losses) > 1:
            axes[0].legend()
        for (key, (step, share)), color in zip(successes.items(), (GOOD, BAD, MUTED, INK), strict=False):
            axes[-1].plot(step, share, "o-", color=color, lw=1.2, ms=4, label=key)
        if successes:
            axes[-1].set(ylim=(-0.04, 1.04), ylabel="success")
        axes[-1].set_xlabel("training step")

    return svg("training", draw, rows=1 + bool(successes))


def _series(rows: Sequence[dict], suffix: str) -> dict[str, tuple[Array, Array]]:
    keys = dict.fromkeys(key for row in rows for key in row if key.endswith(suffix))
    points = {
        key: [(row["step"], row[key]) for row in rows if "step" in row and isinstance(row.get(key), int | float)]
        for key in keys
    }
    return {key: (np.array(xy, float)[:, 0], np.array(xy, float)[:, 1]) for key, xy in points.items() if xy}


def score_over_time(trajectories: Sequence[Trajectory], control_dt: float) -> str | None:
    """Median and quantile bands of the score over time; an ended episode keeps its last score."""
    runs = [t.scores for t in trajectories if len(t.scores)]
    if not runs:
        return None
    length = max(map(len, runs))
    columns = np.unique(np.linspace(0, length - 1, min(length, MAX_POINTS)).astype(int))
    held = np.stack([scores[np.minimum(columns, len(scores) - 1)] for scores in runs])
    q5, q25, median, q75, q95 = np.quantile(held, [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
    time = (columns + 1) * control_dt

    def draw(axes: list[Axes]) -> None:
        axes[0].fill_between(time, q5, q95, color=GOOD, alpha=0.15, lw=0, label="90 % of episodes")
        axes[0].fill_between(time, q25, q75, color=GOOD, alpha=0.3, lw=0, label="50 %")
        axes[0].plot(time, median, color=GOOD, lw=1.8, label="median")
        axes[0].set(ylim=(-0.04, max(1.04, float(held.max()))), xlabel="time [s]", ylabel="score")
        axes[0].legend(loc="best")

    return svg("score", draw)


def uncertainty_over_time(trajectories: Sequence[Trajectory], gate: GateSummary, control_dt: float) -> str | None:
    """The gate's score at each replanning of some episodes, its threshold, and where interventions began."""
    score, runs = gate.score, [t for t in trajectories if gate.score in t.signals]
    if score is None or not runs:
        return None
    chosen = [runs[i] for i in np.unique(np.linspace(0, len(runs) - 1, min(len(runs), MAX_SCORED)).astype(int))]

    def draw(axes: list[Axes]) -> None:
        for run in sorted(chosen, key=lambda t: not t.success):
            scores, on = run.signals[score], run.signals[INTERVENING].astype(bool)
            time, color = np.arange(len(scores)) * gate.period * control_dt, GOOD if run.success else BAD
            axes[0].plot(time, scores, color=color, lw=0.8, alpha=0.5)
            begins = on & ~np.concatenate([[False], on[:-1]])
            axes[0].plot(time[begins], scores[begins], "o", color=color, ms=3.5)
        longest = max(len(run.signals[score]) for run in chosen)
        limits = np.pad(gate.band or (gate.threshold,), (0, longest), mode="edge")[: max(longest, 2)]
        label = "band" if gate.band else "threshold"
        time = np.arange(len(limits)) * gate.period * control_dt
        axes[0].plot(time, limits, color=INK, lw=1.2, ls=(0, (4, 3)), label=label)
        axes[0].plot([], [], "o", color=MUTED, ms=3.5, label="alarm")
        axes[0].set(xlabel="time [s]", ylabel=score)
        axes[0].legend(loc="best")

    return svg("uncertainty", draw)


def success_over_budgets(gate: GateSummary) -> str | None:
    """Success with its interval over the steps of an episode that may be under intervention."""
    if not gate.budgets:
        return None
    budgets = [point.budget for point in gate.budgets]
    shares = [point.success for point in gate.budgets]

    def draw(axes: list[Axes]) -> None:
        axes[0].fill_between(budgets, [s.low for s in shares], [s.high for s in shares], color=GOOD, alpha=0.15, lw=0)
        axes[0].plot(budgets, [s.value for s in shares], "o-", color=GOOD, lw=1.4, ms=4)
        axes[0].set(ylim=(-0.04, 1.04), xlabel="most steps of an episode under intervention", ylabel="success")

    return svg("budgets", draw)


def difference_over_pairs(course: Sequence[tuple[float, float, float]], threshold: float) -> str:
    """Mean difference so far and its confidence sequence, beside what had to be exceeded.

    Args:
        course: (mean, low, high) after each pair.
        threshold: Of the question.
    """
    mean, low, high = np.array(course).T
    pairs = np.arange(1, len(mean) + 1)

    def draw(axes: list[Axes]) -> None:
        axes[0].fill_between(pairs, low, high, color=GOOD, alpha=0.18, lw=0, step="post", label="confidence sequence")
        axes[0].plot(pairs, mean, color=GOOD, lw=1.6, label="mean so far")
        axes[0].axhline(threshold, color=INK, lw=1, ls=(0, (4, 3)), label="to be excluded")
        axes[0].set(xlabel="pairs that count", ylabel="B - A", ylim=(-1.04, 1.04))
        axes[0].set_xlim(1, max(len(mean), 2))
        axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))
        axes[0].legend(loc="best")

    return svg("difference", draw)


def mode_histogram(summary: Summary) -> str | None:
    """Successful episodes per mode, beside what equally frequent modes would give."""
    if not summary.modes:
        return None
    modes, num_modes = summary.modes, summary.num_modes
    shown = np.arange(num_modes) if num_modes else np.array(sorted(modes))
    counts = np.array([modes.get(int(mode), 0) for mode in shown])
    positions = np.arange(len(shown))

    def draw(axes: list[Axes]) -> None:
        axes[0].bar(positions, counts, width=0.75, color=GOOD, lw=0)
        if num_modes:
            expected = binomial_count(int(counts.sum()), 1 / num_modes)
            label = "equally frequent, 95 % of the counts"
            axes[0].axhspan(expected.low, expected.high, color=INK, alpha=0.09, lw=0, label=label)
            axes[0].axhline(expected.value, color=INK, lw=1, ls=(0, (4, 3)))
            axes[0].legend(loc="lower right", bbox_to_anchor=(1, 0.98))
        axes[0].grid(axis="x", visible=False)
        axes[0].yaxis.set_major_locator(MaxNLocator(integer=True))
        step = math.ceil(len(shown) / 24)
        axes[0].set_xticks(positions[::step], [str(mode) for mode in shown[::step]])
        axes[0].set(xlabel="mode", ylabel="successful episodes", xlim=(-0.6, len(shown) - 0.4))

    return svg("modes", draw)


def distribution(trajectories: Sequence[Trajectory], value: Callable[[Trajectory], float], label: str) -> str:
    """Histogram of one number per episode, successes stacked on failures where these are told apart."""
    good = [value(t) for t in trajectories if t.success]
    bad = [value(t) for t in trajectories if not t.success]
    low, high, told = min(good + bad), max(good + bad), any(t.tells_success for t in trajectories)
    around = 0.0 if high > low else max(abs(high), 1.0) / 2  # equal values stand as one bar in the middle
    edges = np.linspace(low - around, high + around, 26)

    def draw(axes: list[Axes]) -> None:
        if told:
            labels = ["failure", "success"]
            axes[0].hist([bad, good], bins=list(edges), stacked=True, color=[BAD, GOOD], label=labels, lw=0)
            axes[0].legend(ncols=2, loc="lower right", bbox_to_anchor=(1, 0.98))
        else:
            axes[0].hist(bad, bins=list(edges), color=GOOD, lw=0)
        axes[0].grid(axis="x", visible=False)
        axes[0].yaxis.set_major_locator(MaxNLocator(integer=True))
        axes[0].set(xlabel=label, ylabel="episodes")

    return svg(label, draw)


def plane_paths(trajectories: Sequence[Trajectory]) -> str | None:
    """Executed actions as paths in their plane, failures above successes; None unless actions are 2-D.

    Evenly chosen episodes and points are drawn where there are very many: the page must stay small.
    """
    runs = [t for t in trajectories if len(t) > 1 and t.actions.shape[1] == 2]
    if not runs:
        return None
    chosen = [runs[i] for i in np.unique(np.linspace(0, len(runs) - 1, min(len(runs), MAX_PATHS)).astype(int))]

    def draw(axes: list[Axes]) -> None:
        alpha = float(np.clip(12 / math.sqrt(len(chosen)) / 2, 0.25, 0.9))
        for run in sorted(chosen, key=lambda t: not t.success):
            points = np.unique(np.linspace(0, len(run) - 1, min(len(run), MAX_POINTS)).astype(int))
            color = GOOD if run.success else BAD
            axes[0].plot(*run.actions[points].T, color=color, lw=0.8, alpha=alpha if run.success else 0.9)
        axes[0].set(xlabel="action 0", ylabel="action 1")
        axes[0].set_aspect("equal", adjustable="datalim")

    return svg("paths", draw, height=5.4)


def svg(name: str, draw: Callable[[list[Axes]], None], *, rows: int = 1, height: float = 3.1) -> str:
    """Draw on `rows` axes below each other; the drawing takes its colors from the page."""
    # The salt keeps the ids of two drawings on one page apart and the file the same from run to run.
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        # Text stays text: the reader's fonts draw it, and have what those may lack that it is measured by here.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure = Figure(figsize=(6.4, height + 1.5 * (rows - 1)), layout="constrained")
        ratios = [3, 1.4][:rows]
        axes = figure.subplots(rows, 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0]
        draw(list(axes))
        for ax in axes:
            ax.tick_params(length=0)
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r' id="[^"]*_\d+"', "", svg)  # group names repeat between drawings, nothing refers to them
    # Coordinates alone are shortened: the numbers between tags are what readers see.
    svg = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d\.\d\d)\d+", r"\1", tag[0]), svg)
    svg = re.sub(r"font: ([^;\"]*?)'[^;\"]*sans-serif", r"font: \1sans-serif", svg)
    head = f'<svg role="img" aria-label="{escape(name)}" '
    svg = re.sub(r"<svg ([^>]*?)width=\"[^\"]*pt\"", lambda tag: head + tag[1], svg, count=1)
    svg = re.sub(r" height=\"[\d.]+pt\"", "", svg, count=1)
    for color, variable in VARIABLES.items():
        svg = svg.replace(color, f"var(--{variable})")
    return svg

"""What the page of an inspection draws: episodes, ranges, maps of windows and groups of episodes."""

from __future__ import annotations

import base64
import io

import matplotlib.image
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from robolearn.doctor.camera import Camera
from robolearn.doctor.clusters import Groups, Maps
from robolearn.doctor.recording import REWARDS, Recording
from robolearn.report.plots import BAD, GOOD, INK, MUTED, svg
from robolearn.types import Array

GROUP_COLORS = (GOOD, BAD, INK, MUTED)
MAX_DIMS, MAX_POINTS, MAX_LINES = 24, 120, 60  # rows of the ranges; of an episode's line; episodes


def lengths(recording: Recording, odd: set[int]) -> str:
    """Steps of each episode in its order, those that a finding names in another color."""

    def draw(axes: list[Axes]) -> None:
        episode = np.arange(len(recording.ends))
        named = np.isin(episode, list(odd))
        for some, color, label in ((~named, GOOD, "_others"), (named, BAD, "named by a finding")):
            axes[0].vlines(episode[some], 0, recording.lengths[some], color=color, lw=1.2, label=label)
        if named.any():
            axes[0].legend(loc="lower right", bbox_to_anchor=(1, 0.98))
        axes[0].set(ylabel="steps", ylim=(0, None))
        _over_episodes(axes[0], len(episode))

    return svg("lengths", draw)


def returns(recording: Recording) -> str | None:
    """Sum of rewards of each episode; None where none are recorded."""
    key = next((key for key in REWARDS if key in recording.rows), None)
    if key is None:
        return None
    sums = recording.per_episode(np.add, recording.rows[key].astype(np.float64).sum(1))

    def draw(axes: list[Axes]) -> None:
        axes[0].plot(np.arange(len(sums)), sums, "o", color=GOOD, ms=3)
        axes[0].set(ylabel=f"sum of {key}")
        _over_episodes(axes[0], len(sums))

    return svg("returns", draw)


def _over_episodes(ax: Axes, count: int) -> None:
    """Whole numbers along the axis, also where there is one episode alone."""
    ax.set(xlabel="episode", xlim=(-0.5, count - 0.5))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def ranges(recording: Recording, key: str) -> str:
    """Where the numbers of each dimension lie in its range: all of them, the middle 98 %, and the middle half."""
    rows = recording.rows[key][:, :MAX_DIMS].astype(np.float64)
    rows = (rows - rows.min(0)) / np.maximum(np.ptp(rows, axis=0), 1e-12)
    low, first, quarter, middle, third, last, high = np.quantile(rows, [0, 0.01, 0.25, 0.5, 0.75, 0.99, 1], axis=0)

    def draw(axes: list[Axes]) -> None:
        dims = np.arange(rows.shape[1])
        axes[0].vlines(dims, low, high, color=MUTED, lw=0.9, label="all")
        axes[0].vlines(dims, first, last, color=GOOD, lw=3, alpha=0.45, label="98 %")
        axes[0].vlines(dims, quarter, third, color=GOOD, lw=6, label="half")
        axes[0].plot(dims, middle, "_", color=INK, ms=9)
        axes[0].set(xlabel=f"dimension of {key}", ylabel="share of the range", xlim=(-0.7, len(dims) - 0.3))
        axes[0].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes[0].legend(ncols=3, loc="lower right", bbox_to_anchor=(1, 0.98))
        axes[0].grid(axis="x", visible=False)

    return svg(f"ranges of {key}", draw)


def paths(recording: Recording, key: str, groups: Groups) -> str | None:
    """The first two numbers of a key as paths, a color for each group of episodes."""
    if recording.rows[key].shape[1] < 2:
        return None
    chosen = np.unique(np.linspace(0, len(recording.ends) - 1, min(MAX_LINES, len(recording.ends))).astype(int))

    def draw(axes: list[Axes]) -> None:
        for i in chosen:
            rows = np.linspace(recording.starts[i], recording.ends[i] - 1, min(MAX_POINTS, recording.lengths[i]))
            x, y = recording.rows[key][rows.astype(int), :2].T
            axes[0].plot(x, y, color=_color(groups, int(i)), lw=0.8, alpha=0.6)
        axes[0].set(xlabel=f"{key}[0]", ylabel=f"{key}[1]")

    return svg(f"paths of {key}", draw, height=4.0)


def window_map(
    points: Array, recording: Recording, maps: Maps, groups: Groups, name: str, labels: tuple[str, str]
) -> str:
    """Windows in two dimensions, in the colors of their episodes' groups."""
    episode = recording.episode_of[maps.rows]

    def draw(axes: list[Axes]) -> None:
        colors = np.array([_color(groups, int(i)) for i in episode])
        for color in GROUP_COLORS:
            some = colors == color
            axes[0].plot(*points[some].T, "o", color=color, ms=2.2, alpha=0.6, mew=0)
        axes[0].set(xlabel=labels[0], ylabel=labels[1])

    return svg(name, draw, height=4.0)


def _color(groups: Groups, episode: int) -> str:
    group = groups.labels[episode] if episode < len(groups.labels) else 0
    return GROUP_COLORS[min(int(group), len(GROUP_COLORS) - 1)]


def pictures(camera: Camera, count: int = 12) -> list[str]:
    """Some images as networks see them, as data for a page."""
    layout = camera.layout
    if layout is None:
        return []
    every = max(1, len(camera.shown) // count)
    return [_png(layout.convert(image)) for image in camera.shown[::every][:count]]


def _png(image: Array) -> str:
    shown = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image[..., :3]
    buffer = io.BytesIO()
    matplotlib.image.imsave(buffer, np.ascontiguousarray(shown), format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")

"""A tube over time, with trajectories in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from robolearn.verify.loop.proof import LoopVerdict


def draw_tube(
    axes: Sequence[Axes], verdict: LoopVerdict, path: np.ndarray, states: Sequence[int], color: str = "#4c78a8"
) -> None:
    """Draw where some states are during each step, one per axes, and simulated trajectories over it.

    Args:
        axes: As many as states.
        verdict: Its tubes; where a part of the initial box was not followed, nothing is drawn.
        path: States [t, b, n] of trajectories, equally spaced in time over all steps of the tubes.
        states: Which to draw.
        color: Of the tube.
    """
    lower, upper = (side.numpy() for side in verdict.hull())
    known = np.isfinite(lower).all(1) & np.isfinite(upper).all(1)
    seconds = verdict.step * np.arange(len(lower) + 1)
    times = np.linspace(0, seconds[-1], len(path))
    for one, state in zip(axes, states, strict=True):
        for step in np.flatnonzero(known):
            ends = seconds[step : step + 2]
            one.fill_between(ends, lower[step, state], upper[step, state], color=color, alpha=0.3, linewidth=0)
        one.plot(times, path[:, :, state], color="black", linewidth=0.4, alpha=0.5)
        one.set_xlabel("time [s]")

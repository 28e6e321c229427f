"""Numbers of episodes with their intervals, and differences of paired ones."""

from __future__ import annotations

import numpy as np

from benchmarks.safety.raw import Episodes
from robolearn.stats.differences import paired_difference
from robolearn.stats.proportions import clopper_pearson
from robolearn.types import Array


def share(hits: Array) -> list[float]:
    """Share of episodes [e], with its interval."""
    estimate = clopper_pearson(int(hits.sum()), len(hits))
    return [estimate.value, estimate.low, estimate.high]


def helped(success: Array, intervened: Array, length: Array) -> dict[str, float]:
    """Success, and what it took: share of steps under intervention, and steps of an episode.

    Args:
        success: Of each episode [e].
        intervened: Steps under intervention [e].
        length: Steps [e].
    """
    value, low, high = share(success)
    steps = float(intervened.mean())
    return {
        "success": value,
        "low": low,
        "high": high,
        "intervened": float(intervened.sum() / max(int(length.sum()), 1)),
        "steps": steps,
    }


def helped_episodes(episodes: Episodes) -> dict[str, float]:
    """The same of episodes."""
    return helped(episodes.success, episodes.intervened(), episodes.length)


def difference(one: Array, other: Array) -> dict[str, float]:
    """Mean of one - other with its interval, of episodes from the same initial states, [e] or [s, e]."""
    estimate = paired_difference(*(np.atleast_2d(values).astype(float) for values in (one, other)))
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}

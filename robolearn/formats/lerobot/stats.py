"""Statistics as LeRobot keeps them of each episode and of the whole set, to normalize by."""

from __future__ import annotations

from typing import Any

import numpy as np

from robolearn.types import Array

Stats = dict[str, Array]
QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
MAX_FRAMES, MAX_SIDE = 100, 150  # of an episode's images that are looked at, and about how many pixels a side


def number_stats(rows: Array) -> Stats:
    """Statistics over the steps of [time, ...], one per number of a step."""
    return {**_of_columns(rows.astype(np.float64)), "count": np.array([len(rows)])}


def image_stats(images: Array) -> Stats:
    """Statistics over some of the pixels of uint8 [time, h, w, c], each [c, 1, 1], of values in 0 .. 1."""
    every = -(-len(images) // MAX_FRAMES)
    stride = max(1, max(images.shape[1:3]) // MAX_SIDE)
    seen = images[::every, ::stride, ::stride]
    pixels = seen.reshape(-1, images.shape[-1]) / 255.0
    stats = {name: value[:, None, None] for name, value in _of_columns(pixels).items()}
    return {**stats, "count": np.array([len(seen)])}


def _of_columns(rows: Array) -> Stats:
    quantiles = np.quantile(rows, list(QUANTILES.values()), axis=0)
    moments = {"min": rows.min(0), "max": rows.max(0), "mean": rows.mean(0), "std": rows.std(0)}
    return moments | dict(zip(QUANTILES, quantiles, strict=True))


class Totals:
    """Statistics of a whole set out of those of its episodes, one after the other."""

    def __init__(self) -> None:
        self._sums: dict[str, Stats] = {}

    def add(self, feature: str, stats: Stats) -> None:
        """Take in an episode's."""
        count = stats["count"]
        weighted = {name: stats[name] * count for name in ("mean", *QUANTILES)}
        weighted["square"] = (stats["std"] ** 2 + stats["mean"] ** 2) * count
        before = self._sums.get(feature)
        if before is None:
            self._sums[feature] = {**weighted, "count": count, "min": stats["min"], "max": stats["max"]}
            return
        for name, value in weighted.items():
            before[name] = before[name] + value
        before["count"] = before["count"] + count
        before["min"] = np.minimum(before["min"], stats["min"])
        before["max"] = np.maximum(before["max"], stats["max"])

    def result(self) -> dict[str, dict[str, Any]]:
        """Feature -> name -> value, as JSON; quantiles are the means of those of the episodes, as lerobot's are."""
        totals = {}
        for feature, sums in self._sums.items():
            means = {name: sums[name] / sums["count"] for name in ("mean", *QUANTILES)}
            variance = sums["square"] / sums["count"] - means["mean"] ** 2
            stats = {**means, "std": np.sqrt(np.maximum(variance, 0.0))}
            stats |= {name: sums[name] for name in ("min", "max", "count")}
            totals[feature] = {name: value.tolist() for name, value in stats.items()}
        return totals

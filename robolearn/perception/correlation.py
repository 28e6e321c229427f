"""Rank correlation of a score with an error, with an interval over episodes.

Source: Spearman 1904; Field and Welsh 2007 on the bootstrap of clusters.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from robolearn import seeds


def rank_correlation(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """Spearman's rho in [-1, 1]; equal values share their mean rank; NaN where one of the two is constant."""
    a, b = (ranks(values) - (len(values) - 1) / 2 for values in (x, y))
    norm = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / norm) if norm else float("nan")


def rank_correlation_interval(
    x: Float[np.ndarray, "e f"],
    y: Float[np.ndarray, "e f"],
    *,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = seeds.FIXED,
) -> tuple[float, float]:
    """Percentile bootstrap of `rank_correlation` over all frames, in which episodes are drawn with all their frames.

    The frames of an episode resemble one another: drawn by themselves they would make the interval too narrow.

    Args:
        x: Score of f frames of each of e episodes.
        y: Error of the same.
        num_resamples: Bootstrap repetitions.
        confidence: Nominal coverage.
        seed: Makes the interval reproducible.
    """
    draws = np.random.default_rng(seed).integers(len(x), size=(num_resamples, len(x)))
    found = [rank_correlation(x[index].ravel(), y[index].ravel()) for index in draws]
    low, high = np.quantile(found, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return float(low), float(high)


def ranks(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Ranks from 0, equal values sharing the mean of theirs.

    Raises:
        ValueError: A value is NaN.
    """
    if np.isnan(values).any():
        raise ValueError(f"{int(np.isnan(values).sum())} of {len(values)} values are NaN and have no rank")
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[place]

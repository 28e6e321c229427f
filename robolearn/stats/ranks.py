"""What the order of numbers tells: correlation of ranks, and how often one class lies above another.

Sources: Spearman 1904; Kendall 1945; Hanley and McNeil 1982.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from robolearn import seeds
from robolearn.stats.bootstrap import NUM_RESAMPLES, bootstrap, percentile_interval
from robolearn.stats.value import WHOLE_LINE, Estimate

FEW = 5  # of one fewer, 1 of 24 orders agrees in all pairs by chance: more than 0.025


def rank_correlation(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """Spearman's rho in [-1, 1]; equal values share their mean rank; NaN where one of the two is constant."""
    a, b = (ranks(values) - (len(values) - 1) / 2 for values in (x, y))
    norm = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / norm) if norm else float("nan")


def rank_correlation_estimate(
    x: Float[np.ndarray, "e f"], y: Float[np.ndarray, "e f"], num_resamples: int = NUM_RESAMPLES
) -> Estimate:
    """`rank_correlation` over all frames, with a percentile interval over episodes, drawn with all their frames.

    The frames of an episode resemble one another: drawn by themselves they would make the interval too narrow.

    Args:
        x: Score of f frames of each of e episodes.
        y: Error of the same.
        num_resamples: Bootstrap repetitions.

    Source: Field and Welsh 2007 on the bootstrap of clusters.
    """

    def of_episodes(index: np.ndarray) -> float:
        return rank_correlation(x[index].ravel(), y[index].ravel())

    episodes = np.arange(len(x))
    return bootstrap(episodes, lambda drawn: np.apply_along_axis(of_episodes, -1, drawn), num_resamples=num_resamples)


def kendall(x: Shaped[np.ndarray, "*r n"], y: Shaped[np.ndarray, "*r n"]) -> Float[np.ndarray, "*r"]:
    """Kendall's tau-b in [-1, 1], of the last axis: pairs in the same order less pairs in the other one.

    Pairs that are tied in one of the two count for neither, and the rest is divided by the root of the numbers of
    pairs that are not tied in x and in y. NaN where one of the two is constant.

    Source: Kendall 1945, The treatment of ties in ranking problems.
    """
    pairs = ((values[..., :, None], values[..., None, :]) for values in (x, y))
    a, b = (np.sign(np.subtract(*pair, dtype=float)) for pair in pairs)  # unsigned integers know no difference below 0
    untied = np.sqrt(np.square(a).sum((-2, -1)) * np.square(b).sum((-2, -1)))
    return np.divide((a * b).sum((-2, -1)), untied, out=np.full(untied.shape, np.nan), where=untied > 0)


def kendall_estimate(
    x: Float[np.ndarray, "*s n"],
    y: Float[np.ndarray, " n"],
    num_resamples: int = NUM_RESAMPLES,
    *,
    less: Float[np.ndarray, " n"] | None = None,
) -> Estimate:
    """`kendall` with a percentile interval over the n things that are ordered, such as policies.

    Args:
        x: Tells an order; of several, with s in front, the mean of their taus counts, and they are drawn as well.
        y: What it is compared with.
        num_resamples: Bootstrap repetitions.
        less: Tells another order, whose tau is subtracted, in the same resamples.

    A thing that is drawn twice is a tied pair and counts for neither order. Resamples in which all are tied tell no
    order and are left out. Fewer than FEW things lie in any given order too often by chance: their interval is the
    whole line. Where all pairs agree the interval has no width, however few there are.

    Source: Efron and Tibshirani 1993, chapter 13.

    Raises:
        ValueError: Where one of these is constant: it has no order.
    """
    orders, n = np.atleast_2d(x), len(y)

    def taus(rows: Int[np.ndarray, "*r n"]) -> Float[np.ndarray, "s *r"]:
        tau = np.stack([kendall(one[rows], y[rows]) for one in orders])
        return tau if less is None else tau - kendall(less[rows], y[rows])

    value = float(taus(np.arange(n)).mean())
    if np.isnan(value):
        raise ValueError(f"an order needs things that differ in all numbers, got {n} that do not")
    if n < FEW:
        return Estimate(value, *WHOLE_LINE, n)
    rng = np.random.default_rng(seeds.FIXED)
    each = taus(rng.integers(n, size=(num_resamples, n)))
    drawn = np.take_along_axis(each, rng.integers(len(orders), size=each.shape), axis=0).mean(0)
    return Estimate(value, *percentile_interval(drawn[~np.isnan(drawn)]), n)


def ranks(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Ranks from 0, equal values sharing the mean of theirs.

    Raises:
        ValueError: A value is NaN.
    """
    _check_known(values)
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[group]


def _check_known(values: Float[np.ndarray, " n"]) -> None:
    if np.isnan(values).any():
        raise ValueError(f"{int(np.isnan(values).sum())} of {len(values)} values are NaN and have no rank")


def roc_auc(scores: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]) -> float:
    """P(score of a positive > score of a negative), ties count half.

    Raises:
        ValueError: One class does not occur, or a score is NaN.
    """
    _check_known(scores)
    if positive.all() or not positive.any():
        raise ValueError(f"an area needs two classes, got {int(positive.sum())} positives of {len(positive)}")
    return float(wins(scores[positive], scores[~positive]).mean())


def wins(above: Float[np.ndarray, " p"], below: Float[np.ndarray, " q"]) -> Float[np.ndarray, "p q"]:
    """1 where the first is larger, 1/2 where they are alike."""
    return (above[:, None] > below) + 0.5 * (above[:, None] == below)

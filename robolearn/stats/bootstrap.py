"""Intervals by resampling: of values, of clusters of them, and of training seeds and initial states together.

What is drawn is what was drawn in the first place: starts with all their episodes, training seeds with all that came
of them. What happens within needs no drawing of its own, since the numbers of a cluster carry it already (Cameron,
Gelbach and Miller 2008, Bootstrap-based improvements for inference with clustered errors).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int, Num

from robolearn import seeds
from robolearn.stats.proportions import effective_number, wilson_share
from robolearn.stats.value import CONFIDENCE, WHOLE_LINE, Estimate, Interval

NUM_RESAMPLES = 2000
MOST_DRAWN = 1 << 20  # numbers of resamples that are in memory at once
ROUNDING = 1e-12  # by which the means of equal values in [0, 1] differ at most


def drawn_with_replacement(
    rng: np.random.Generator, n: int, num_resamples: int = NUM_RESAMPLES
) -> Iterator[Int[np.ndarray, "r n"]]:
    """Resamples of n indices a few rows at a time, the same as all at once: 2000 of 1e5 episodes would take 1.6 GB.

    Args:
        rng: What draws.
        n: How many there are to draw from, at least 1, and to draw.
        num_resamples: Rows of all blocks together.
    """
    rows = max(1, MOST_DRAWN // n)
    for first in range(0, num_resamples, rows):
        yield rng.integers(n, size=(min(rows, num_resamples - first), n))


def percentile_interval(resamples: Float[np.ndarray, " r"]) -> Interval:
    """Where the middle of the resamples of a statistic lies.

    Fit for means; a biased statistic needs more (see `basic_estimate` and `mode_entropy_estimate`).

    Source: Efron and Tibshirani 1993, chapter 13.
    """
    low, high = np.quantile(resamples, [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2])
    return float(low), float(high)


def basic_estimate(value: float, resamples: Float[np.ndarray, " r"], n: int) -> Estimate:
    """A statistic without its bias, which resamples show once more: 2 value - their mean; the interval likewise.

    Source: Efron and Tibshirani 1993, chapters 10 and 13.
    """
    low, high = percentile_interval(resamples)
    return Estimate(2 * value - float(resamples.mean()), 2 * value - high, 2 * value - low, n)


def bootstrap(
    values: Num[np.ndarray, " n"],
    statistic: Callable[[Num[np.ndarray, "*r n"]], Num[np.ndarray, "*r"]],
    *,
    num_resamples: int = NUM_RESAMPLES,
) -> Estimate:
    """A statistic of independent values with its percentile interval.

    One value has no spread to resample: its interval is the whole line. Equal values give zero width.

    Args:
        values: One per episode; indices of clusters, where the statistic looks them up.
        statistic: Maps values, or resamples of them, one per row, to one number each: `lambda x: x.mean(-1)`.
        num_resamples: Rows drawn with replacement, the same every time.

    Raises:
        ValueError: Without values.
    """
    n = len(values)
    if n == 0:
        raise ValueError("a bootstrap interval needs at least one value, got none")
    value, interval = float(statistic(values)), WHOLE_LINE
    if n > 1:
        blocks = drawn_with_replacement(np.random.default_rng(seeds.FIXED), n, num_resamples)
        interval = percentile_interval(np.concatenate([statistic(values[rows]) for rows in blocks]))
    return Estimate(value, *interval, n)


def clustered_mean(
    values: Float[np.ndarray, " n"], groups: Int[np.ndarray, " n"], *, bounded: bool = False
) -> Estimate:
    """Mean where values of one group are not independent of each other, with a percentile interval.

    Groups are drawn with all their values; with a value in each it is the bootstrap of the mean. One group shows no
    spread: its interval is the whole line. With few groups it covers less than it says, with ten about 0.91.

    Args:
        values: One per episode.
        groups: Number of the group of each, all of 0, 1, ... occur.
        bounded: Whether values belong into [0, 1], as scores do. Where all are equal or there is one group only, and
            nothing to resample, they get Wilson's interval of that share: no distribution on [0, 1] has a larger
            variance than the two-valued one. Not if a value lies outside nevertheless.

    Raises:
        ValueError: Without values.
    """
    sums, sizes = np.bincount(groups, values), np.bincount(groups)
    estimate = bootstrap(np.arange(len(sizes)), lambda drawn: sums[drawn].sum(-1) / sizes[drawn].sum(-1))
    estimate = replace(estimate, value=float(values.mean()), n=len(values))
    shows_spread = estimate.has_interval and estimate.high - estimate.low > ROUNDING
    if not bounded or shows_spread or values.min() < 0 or values.max() > 1:
        return estimate
    return wilson_share(estimate.value, estimate.n, effective_number(sizes))


@dataclass(frozen=True)
class Resampled:
    """A number with what it is in each resample [r]."""

    estimate: Estimate
    values: Float[np.ndarray, " r"]


@dataclass(frozen=True)
class Draws:
    """Resamples of s training seeds and c groups; a group is an initial state with all its repetitions, for example.

    Attributes:
        rows: Training seeds, [r, s, 1].
        columns: Groups, [r, 1, c] where they are the same for every seed, and [r, s, c] where each has its own.
    """

    rows: Int[np.ndarray, "r s 1"]
    columns: Int[np.ndarray, "r _ c"]

    @classmethod
    def resample(
        cls,
        num_seeds: int,
        num_groups: int,
        *,
        shared_groups: bool = True,
        num_resamples: int = NUM_RESAMPLES,
        seed: int = seeds.FIXED,
    ) -> Draws:
        """Draw both with replacement; the same arguments give the same draws, so that two policies are paired."""
        rng = np.random.default_rng(seed)
        rows = rng.integers(num_seeds, size=(num_resamples, num_seeds, 1))
        columns = rng.integers(num_groups, size=(num_resamples, 1 if shared_groups else num_seeds, num_groups))
        return cls(rows, columns)

    def means(self, values: Float[np.ndarray, "s c"]) -> Float[np.ndarray, " r"]:
        """Mean of each resample."""
        return values[self.rows, self.columns].mean((1, 2))

    def mean(self, values: Float[np.ndarray, "s c"]) -> Resampled:
        """Mean with its percentile interval."""
        return self.resampled(float(values.mean()), self.means(values), values.size)

    def resampled(self, value: float, values: Float[np.ndarray, " r"], n: int) -> Resampled:
        """A statistic with its percentile interval: the whole line with one group, which shows no spread."""
        interval = percentile_interval(values) if self.columns.shape[2] > 1 else WHOLE_LINE
        return Resampled(Estimate(value, *interval, n), values)


def grouped_mean(values: Float[np.ndarray, "s c"], *, shared_groups: bool = True) -> Estimate:
    """Mean over training seeds and groups, with a percentile interval over both; with ten groups it covers about 0.91.

    Args:
        values: One number per training seed and group.
        shared_groups: Column c is the same group for every seed, as with initial states: one draw of columns serves
            all seeds. Otherwise, as with held-out episodes, each seed draws its own.
    """
    return Draws.resample(*values.shape, shared_groups=shared_groups).mean(values).estimate


def grouped_share(shares: Float[np.ndarray, "s c"], n: int) -> Estimate:
    """Mean share of hits, with the wider of Wilson's interval and the one over seeds and groups.

    The first takes all episodes for independent, the second sees what seeds and groups have in common but has no
    width where every episode ends alike.

    Args:
        shares: Share of hits of each training seed and group.
        n: How many episodes are behind all of them.
    """
    single, grouped = wilson_share(float(shares.mean()), n), grouped_mean(shares)
    low, high = min(single.low, max(grouped.low, 0.0)), max(single.high, min(grouped.high, 1.0))
    return Estimate(grouped.value, low, high, n)

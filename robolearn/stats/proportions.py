"""Shares of n draws and their intervals; where draws are not independent, over the number that they are worth.

scipy.stats is imported late: it takes longer than all else that a command needs of this room.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from jaxtyping import Num

from robolearn.stats.value import CONFIDENCE, Estimate, Interval

TAIL = (1 - CONFIDENCE) / 2
Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)


def wilson(successes: int, n: int) -> Estimate:
    """A success rate; sensible at 0 and n successes, where the normal interval has zero width.

    Source: Wilson 1927, doi:10.1080/01621459.1927.10502953.

    Raises:
        ValueError: For n < 1 or successes outside 0..n.
    """
    if n < 1:
        raise ValueError(f"a success rate needs at least one episode, got n = {n}")
    if not 0 <= successes <= n:
        raise ValueError(f"successes must be in 0..{n}, got {successes}")
    return wilson_share(successes / n, n)


def wilson_share(share: float, n: int, effective: int | float | None = None) -> Estimate:
    """`wilson` of a share in [0, 1] of n that need not be a whole number, and n draws worth ``effective`` ones."""
    worth = n if effective is None else effective
    center = share + Z**2 / (2 * worth)
    half = Z * math.sqrt(share * (1 - share) / worth + Z**2 / (4 * worth**2))
    scale = 1 + Z**2 / worth
    # Rounding must not exclude the estimate itself at 0 and 1.
    low, high = min((center - half) / scale, share), max((center + half) / scale, share)
    return Estimate(share, max(low, 0.0), min(high, 1.0), n)


def clopper_pearson(hits: int, n: int, effective: int | float | None = None) -> Estimate:
    """A share with its exact interval, which never covers less than it says; the whole of [0, 1] where n is 0.

    Args:
        hits: Of n.
        n: Draws.
        effective: How many independent draws the n are worth, if not n: the same share of so many is then taken (Korn
            and Graubard 1998, Confidence intervals for proportions with small expected number of positive counts).

    Source: Clopper and Pearson 1934.
    """
    worth = n if effective is None else effective
    effective_hits = hits * worth / n if n else 0.0
    low = beta_interval(effective_hits, worth - effective_hits + 1)[0] if hits else 0.0
    high = beta_interval(effective_hits + 1, worth - effective_hits)[1] if hits < n else 1.0
    return Estimate(hits / n if n else math.nan, low, high, n)


def beta_interval(a: int | float, b: int | float) -> Interval:
    """Central interval of a Beta(a, b) distributed share."""
    from scipy.stats import beta

    low, high = beta.ppf([TAIL, 1 - TAIL], a, b)
    return float(low), float(high)


def beta_binomial_interval(n: int, a: int, b: int) -> Interval:
    """Central interval of the share of n draws whose probability is itself Beta(a, b) distributed."""
    from scipy.stats import betabinom

    low, high = betabinom.ppf([TAIL, 1 - TAIL], n, a, b)
    return float(low) / n, float(high) / n


def binomial_count(n: int, probability: float) -> Estimate:
    """How often something of known probability occurs in n draws, with the interval of the normal approximation."""
    mean = n * probability
    half = Z * math.sqrt(mean * (1 - probability))
    return Estimate(mean, max(mean - half, 0.0), mean + half, n)


def effective_number(weights: Num[np.ndarray, " n"]) -> float:
    """How many equal ones weights, or sizes of clusters that tell one thing each, are worth: (sum w)^2 / sum w^2.

    n where all are alike, less where few of them dominate, 0 without any.

    Source: Kish 1965, Survey sampling, section 8.2 for clusters, 11.7 for weights.
    """
    values = np.asarray(weights, float)
    return float(values.sum() ** 2 / np.square(values).sum()) if len(values) else 0.0

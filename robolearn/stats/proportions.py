"""Shares of n draws and their intervals; where draws are not independent, over the number that they are worth."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from jaxtyping import Num

from robolearn.stats.value import CONFIDENCE, Estimate, Interval


def wilson(successes: int, n: int, confidence: float = CONFIDENCE) -> Estimate:
    """A success rate; sensible at 0 and n successes, where the normal interval has zero width.

    Source: Wilson 1927, doi:10.1080/01621459.1927.10502953.

    Raises:
        ValueError: For n < 1 or successes outside 0..n.
    """
    if n < 1:
        raise ValueError(f"a success rate needs at least one episode, got n = {n}")
    if not 0 <= successes <= n:
        raise ValueError(f"successes must be in 0..{n}, got {successes}")
    return wilson_share(successes / n, n, confidence=confidence)


def wilson_share(
    share: float, n: int, effective: int | float | None = None, confidence: float = CONFIDENCE
) -> Estimate:
    """`wilson` of a share in [0, 1] that need not be a whole number of n.

    Args:
        share: Estimate.
        n: Draws.
        effective: How many independent draws the n are worth, if not n.
        confidence: Nominal coverage.
    """
    worth, z = n if effective is None else effective, _normal_quantile(confidence)
    centre = share + z**2 / (2 * worth)
    half = z * math.sqrt(share * (1 - share) / worth + z**2 / (4 * worth**2))
    scale = 1 + z**2 / worth
    # Rounding must not exclude the estimate itself at 0 and 1.
    low, high = min((centre - half) / scale, share), max((centre + half) / scale, share)
    return Estimate(share, max(low, 0.0), min(high, 1.0), n)


def clopper_pearson(
    hits: int, n: int, effective: int | float | None = None, confidence: float = CONFIDENCE
) -> Estimate:
    """A share with its exact interval, which never covers less than it says; the whole of [0, 1] where n is 0.

    Args:
        hits: Of n.
        n: Draws.
        effective: How many independent draws the n are worth, if not n: the same share of so many is then taken (Korn
            and Graubard 1998, Confidence intervals for proportions with small expected number of positive counts).
        confidence: Nominal coverage.

    Source: Clopper and Pearson 1934.
    """
    tail, worth = (1 - confidence) / 2, n if effective is None else effective
    found = hits * worth / n if n else 0.0
    low = _beta_quantile(tail, found, worth - found + 1) if hits else 0.0
    high = _beta_quantile(1 - tail, found + 1, worth - found) if hits < n else 1.0
    return Estimate(hits / n if n else math.nan, low, high, n)


def beta_interval(a: int, b: int, confidence: float = CONFIDENCE) -> Interval:
    """Central interval of a Beta(a, b) distributed share."""
    tail = (1 - confidence) / 2
    return _beta_quantile(tail, a, b), _beta_quantile((1 + confidence) / 2, a, b)


def beta_binomial_interval(n: int, a: int, b: int, confidence: float = CONFIDENCE) -> Interval:
    """Central interval of the share of n draws whose probability is itself Beta(a, b) distributed."""
    from scipy.stats import betabinom  # late: scipy.stats takes longer to import than all else here

    low, high = betabinom.ppf([(1 - confidence) / 2, (1 + confidence) / 2], n, a, b)
    return float(low) / n, float(high) / n


def binomial_count(n: int, probability: float, confidence: float = CONFIDENCE) -> Estimate:
    """How often something of known probability occurs in n draws, with the interval of the normal approximation."""
    mean = n * probability
    half = _normal_quantile(confidence) * math.sqrt(mean * (1 - probability))
    return Estimate(mean, max(mean - half, 0.0), mean + half, n)


def effective_number(weights: Num[np.ndarray, " n"]) -> float:
    """How many equal ones weights, or sizes of clusters that tell one thing each, are worth: (sum w)^2 / sum w^2.

    n where all are alike, less where few of them dominate, 0 without any.

    Source: Kish 1965, Survey sampling, section 8.2 for clusters, 11.7 for weights.
    """
    values = np.asarray(weights, float)
    return float(values.sum() ** 2 / np.square(values).sum()) if len(values) else 0.0


def _normal_quantile(confidence: float) -> float:
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def _beta_quantile(probability: float, a: int | float, b: int | float) -> float:
    from scipy.stats import beta  # late: see above

    return float(beta.ppf(probability, a, b))

"""Conformal thresholds: what a new score exceeds with probability alpha at most, however the scores are distributed.

The guarantee is marginal, over the draw of the calibration scores and of the new one together, and needs them to be
exchangeable. Given the calibration scores, coverage is Beta(k, n + 1 - k) distributed with k =
`threshold_rank(n, alpha)`.

Sources: Vovk, Gammerman and Shafer 2005; Lei et al. 2018; Angelopoulos and Bates 2023, arXiv:2107.07511.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Hashable, Sequence
from fractions import Fraction

import numpy as np
from jaxtyping import Bool, Float

from robolearn.errors import UserError
from robolearn.stats.proportions import beta_interval


class TooFewWarning(UserWarning):
    """There are too few calibration scores for a finite threshold."""


def threshold_rank(n: int, alpha: float) -> int:
    """Rank k = ceil((n + 1)(1 - alpha)) of the threshold among n sorted scores, counted from 1; n + 1 for none.

    Args:
        n: Calibration scores, at least 0.
        alpha: Share that may exceed, in (0, 1), taken as the decimal number that is written.

    Raises:
        UserError: alpha outside (0, 1).
    """
    return math.ceil((n + 1) * (1 - written(alpha)))  # 10 * (1 - 0.7) is above 3 in floats


def smallest_number(alpha: float) -> int:
    """Fewest calibration scores that give a finite threshold: ceil(1 / alpha) - 1."""
    return math.ceil(1 / written(alpha)) - 1


def written(alpha: float, name: str = "alpha") -> Fraction:
    """Alpha as the decimal number that is written.

    Raises:
        UserError: It is outside (0, 1).
    """
    if not 0 < alpha < 1:
        raise UserError(f"{name} must be in (0, 1), got {alpha}")
    return Fraction(repr(float(alpha)))


def threshold(scores: Float[np.ndarray, " n"], alpha: float) -> float:
    """Split conformal threshold: P(new score > threshold) <= alpha, and above alpha - 1 / (n + 1) without ties.

    Infinite, with a TooFewWarning, where n is below ``smallest_number(alpha)``: no finite number keeps the promise.

    Args:
        scores: Of calibration, one per episode; infinite ones count as exceeding everything finite.
        alpha: In (0, 1).

    Raises:
        UserError: A score is NaN, or alpha outside (0, 1).
    """
    n = len(scores)
    check_scores(scores)
    k = threshold_rank(n, alpha)
    if k > n:
        warnings.warn(too_few(n, alpha), TooFewWarning, stacklevel=2)
        return math.inf
    return float(np.partition(scores, k - 1)[k - 1])


def exceeding_spread(n: int, alpha: float) -> tuple[float, float]:
    """Central interval of the share of new scores above the `threshold`, given its n calibration scores.

    Without ties that share is Beta(n + 1 - k, k) distributed over calibrations, k = `threshold_rank`; with ties it
    lies lower. With 63 scores and alpha 0.1 it is within 0.036 and 0.176 in 95 of 100 calibrations.

    Raises:
        UserError: alpha outside (0, 1), or n below ``smallest_number(alpha)``.
    """
    k = threshold_rank(n, alpha)
    if k > n:
        raise UserError(too_few(n, alpha))
    return central_interval(n + 1 - k, k)


def central_interval(a: int, b: int) -> tuple[float, float]:
    """Central interval of a Beta(a, b) distributed share, to four digits."""
    low, high = beta_interval(a, b)
    return round(low, 4), round(high, 4)


def exceeds(
    scores: Float[np.ndarray, "*shape"], limit: Float[np.ndarray, "*limits"] | float
) -> Bool[np.ndarray, "..."]:
    """Whether scores are above their limit; NaN is, whatever the limit: what cannot be judged does not pass."""
    return ~(np.asarray(scores) <= limit)


def group_thresholds(
    scores: Float[np.ndarray, " n"], groups: Sequence[Hashable], alpha: float
) -> dict[Hashable, float]:
    """Mondrian: one threshold per group, so that the promise holds within each.

    Groups have to be fixed before looking at the scores. A group without calibration scores has no entry:
    its threshold is infinite.

    Args:
        scores: Of calibration.
        groups: The group of each.
        alpha: In (0, 1).

    Source: Vovk 2012, Conditional validity of inductive conformal predictors.

    Raises:
        UserError: As `threshold`, or lengths that differ.
    """
    if len(groups) != len(scores):
        raise UserError(f"{len(scores)} scores have {len(groups)} groups")
    members: dict[Hashable, list[int]] = {}
    for i, group in enumerate(groups):
        members.setdefault(group, []).append(i)
    return {group: threshold(scores[index], alpha) for group, index in members.items()}


def weighted_thresholds(
    scores: Float[np.ndarray, " n"],
    weights: Float[np.ndarray, " n"],
    new_weights: Float[np.ndarray, " m"],
    alpha: float,
) -> Float[np.ndarray, " m"]:
    """Thresholds under covariate shift: the 1 - alpha quantile of the weighted scores and of infinity.

    With weights dP_test / dP_calibration the promise holds for P_test. Estimated ones leave an error of at most half
    their mean absolute error. Infinite where the new weight alone is worth more than alpha.

    Args:
        scores: Of calibration.
        weights: Of them, finite, not negative, any scale.
        new_weights: Of the observations to be judged, on the same scale.
        alpha: In (0, 1).

    Source: Tibshirani et al. 2019, arXiv:1904.06019.

    Raises:
        UserError: As `threshold`; a weight is negative or not finite.
    """
    check_scores(scores)
    share = float(1 - written(alpha))
    for name, values in (("weights", weights), ("new_weights", new_weights)):
        if not (np.isfinite(values) & (values >= 0)).all():
            raise UserError(f"{name} must be finite and not negative")
    order = np.argsort(scores, kind="stable")
    mass = np.cumsum(weights[order])
    needed = share * (weights.sum() + new_weights)
    # A hair less, so that equal weights give the same rank as ``threshold``.
    rank = np.searchsorted(mass, needed * (1 - 1e-12))
    return np.append(scores[order], np.inf)[rank]


def cqr_scores(
    low: Float[np.ndarray, " n"], high: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """How far y lies outside predicted quantiles (negative inside): [low - q, high + q] covers with q their threshold.

    Source: Romano, Patterson and Candes 2019, arXiv:1905.03222.
    """
    return np.maximum(low - y, y - high)


def control_risk(losses: Float[np.ndarray, "n l"], alpha: float, bound: float = 1.0) -> int | None:
    """Conformal risk control: the first setting whose expected loss on a new episode is at most alpha.

    Args:
        losses: Of n calibration episodes under l settings, from bold to cautious; none may grow along a row.
        alpha: Tolerated expected loss.
        bound: No loss is larger.

    Returns:
        Index of the setting; None where even the most cautious one is not cautious enough, or n too small.

    Source: Angelopoulos et al. 2024, arXiv:2208.02814.

    Raises:
        UserError: A loss is NaN, above the bound, or grows.
    """
    n = len(losses)
    if not (losses <= bound).all():
        raise UserError(f"a loss is NaN or above the bound {bound}")
    if (np.diff(losses, axis=1) > 0).any():
        raise UserError("a loss grows as settings get more cautious; risk control needs it not to")
    fits = (losses.sum(0) + bound) / (n + 1) <= alpha
    return int(fits.argmax()) if fits.any() else None


def check_scores(scores: Float[np.ndarray, " n"]) -> None:
    """Refuse calibration scores that cannot be ordered.

    Raises:
        UserError: A score is NaN.
    """
    if np.isnan(scores).any():
        raise UserError(f"{int(np.isnan(scores).sum())} of {len(scores)} calibration scores are NaN")


def too_few(n: int, alpha: float) -> str:
    """Say that no finite threshold keeps the promise."""
    needed = smallest_number(alpha)
    return f"{n} calibration scores give no finite threshold at alpha {alpha}: at least {needed} are needed"

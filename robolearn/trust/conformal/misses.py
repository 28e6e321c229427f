"""One threshold with two promises: few false alarms on successes and few misses on failures; or none at all.

    alarm iff score > threshold
    false alarms <= alpha   needs  threshold >= the ceil((n + 1)(1 - alpha))-th smallest score of n successes
    misses <= beta          needs  threshold <  the floor((m + 1) beta)-th smallest score of m failures

Where the first is not below the second no threshold does both, and the detector abstains. Each promise is marginal,
over the draw of both calibration sets and of a new episode of that class, and needs the episodes of a class to be
exchangeable: P(a threshold is given and the new success is above it) <= alpha, and likewise for misses and beta.

Source: Mondrian conformal prediction with the class as the group, Vovk 2012.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from robolearn.errors import UserError
from robolearn.trust.conformal.thresholds import (
    TooFewWarning,
    central_interval,
    check_scores,
    smallest_number,
    threshold,
    written,
)


@dataclass(frozen=True)
class Calibration:
    """What successes and failures together allow.

    Attributes:
        threshold: That keeps both promises, the lowest there is, so that alarms come early; None to abstain.
        lowest: Least threshold that keeps false alarms at alpha; infinite where there were too few successes.
        highest: Largest threshold that keeps misses at beta; minus infinity where there were too few failures.
        least_alpha: Share of false alarms that goes with `highest`: the least alpha that this beta leaves room for.
        least_beta: Share of misses that goes with `lowest`: the least beta that this alpha leaves room for.
        reason: Why it abstains; empty where it does not.
    """

    threshold: float | None
    lowest: float
    highest: float
    least_alpha: float
    least_beta: float
    reason: str


def calibrate_detector(
    successes: Float[np.ndarray, " n"], failures: Float[np.ndarray, " m"], alpha: float, beta: float
) -> Calibration:
    """Calibrate a detector on both classes.

    Without ties the share of false alarms of `lowest`, given the successes, is Beta(n + 1 - k, k) distributed with
    k = ceil((n + 1)(1 - alpha)), and the share of misses of `highest` Beta(j, m + 1 - j) with j = floor((m + 1) beta).
    The two least shares follow from the calibration scores, so they are estimates and no promises: to promise them,
    calibrate anew.

    Args:
        successes: Scores of calibration episodes that succeeded, one per episode.
        failures: Of those that failed.
        alpha: Tolerated share of false alarms, in (0, 1).
        beta: Tolerated share of misses, in (0, 1).

    Raises:
        UserError: A score is NaN; alpha or beta is outside (0, 1).
    """
    lowest, highest = threshold(successes, alpha), miss_threshold(failures, beta)
    least_alpha = (1 + int((successes > highest).sum())) / (len(successes) + 1)
    least_beta = (1 + int((failures <= lowest).sum())) / (len(failures) + 1)
    reason = ""
    if not lowest <= highest:
        reason = (
            f"false alarms of at most {alpha} need a threshold of {lowest:.6g} or more, misses of at most {beta} "
            f"one of {highest:.6g} or less; "
            f"with these scores false alarms of {alpha} go with misses of {least_beta:.3f}, and misses of "
            f"{beta} with false alarms of {least_alpha:.3f}"
        )
    return Calibration(None if reason else lowest, lowest, highest, least_alpha, least_beta, reason)


def miss_threshold(failures: Float[np.ndarray, " m"], beta: float) -> float:
    """Largest threshold such that P(score of a new failure <= threshold) <= beta.

    The number just below the floor((m + 1) beta)-th smallest score: at that score itself failures that tie with it
    would all be missed. Minus infinity, with a TooFewWarning, where m is below ``smallest_number(beta)``.

    Raises:
        UserError: A score is NaN, or beta outside (0, 1).
    """
    m = len(failures)
    check_scores(failures)
    j = _miss_rank(m, beta)
    if j == 0:
        needed = smallest_number(beta)
        warnings.warn(
            f"{m} failures give no threshold above minus infinity at beta {beta}: at least {needed} are needed",
            TooFewWarning,
            stacklevel=2,
        )
        return -math.inf
    score = np.partition(failures, j - 1)[j - 1]
    return float(np.nextafter(score, -np.inf))  # in the precision of the scores, or it is no step


def miss_spread(m: int, beta: float) -> tuple[float, float]:
    """Central interval of the share of new failures below the `miss_threshold`, given its m calibration scores.

    Without ties that share is Beta(j, m + 1 - j) distributed over calibrations, j = floor((m + 1) beta). A lower
    threshold misses fewer.

    Raises:
        UserError: beta outside (0, 1), or m below ``smallest_number(beta)``.
    """
    j = _miss_rank(m, beta)
    if j == 0:
        raise UserError(f"{m} failures promise nothing at beta {beta}: at least {smallest_number(beta)} are needed")
    return central_interval(j, m + 1 - j)


def _miss_rank(m: int, beta: float) -> int:
    return math.floor((m + 1) * written(beta))

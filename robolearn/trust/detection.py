"""How well a detector tells failures from successes while they happen, with length control.

Failures mostly run until time is up and successes end early, so that s_t = t tells them apart without looking. Here
scores count up to the common horizon alone, the length of the shortest episode, for alarms and for the AUC alike.

    DT_i   time of the first alarm over the horizon, for each failure; 1 where there is none, so that a detector that
           notices few failures does not look fast
    TWA    ((mean over failures of 1 - DT_i) + true negative rate) / 2

Sources: Roemer et al. 2025, FIPER, arXiv:2510.09459 (TWA); Gu et al. 2025, SAFE, arXiv:2506.09937 (AUC at a common
length).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from robolearn import seeds
from robolearn.errors import UserError
from robolearn.stats.bootstrap import NUM_RESAMPLES, percentile_interval
from robolearn.stats.ranks import wins
from robolearn.stats.value import Estimate
from robolearn.trust.conformal.bands import first_alarm
from robolearn.trust.conformal.thresholds import exceeds


@dataclass(frozen=True)
class Detection:
    """Failures are the positives. All but the horizon in [0, 1]; more is better but for the detection time.

    Attributes:
        horizon: Steps that count, of every episode.
        true_positive_rate: Failures with an alarm.
        true_negative_rate: Successes without.
        balanced_accuracy: The mean of both.
        detection_time: Mean DT of the failures.
        time_weighted_accuracy: TWA.
        roc_auc: P(largest score of a failure > that of a success), ties count half; needs no limit.
    """

    horizon: int
    true_positive_rate: Estimate
    true_negative_rate: Estimate
    balanced_accuracy: Estimate
    detection_time: Estimate
    time_weighted_accuracy: Estimate
    roc_auc: Estimate


def detection(
    scores: Float[np.ndarray, "e t"],
    lengths: Int[np.ndarray, " e"],
    success: Bool[np.ndarray, " e"],
    limit: Float[np.ndarray, " t"] | float,
    *,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = seeds.FIXED,
) -> Detection:
    """Measure a detector that alarms where the score is above the limit; NaN scores alarm.

    Intervals are percentiles over resamples of the episodes, of successes and of failures apart; zero wide where all
    episodes of a class agree.

    Args:
        scores: Per step; what stands behind an episode's length is not read.
        lengths: Steps of each episode.
        success: Whether each succeeded.
        limit: One for all steps, or one per step as of a band.
        num_resamples: Of the bootstrap.
        seed: Makes them reproducible.

    Raises:
        UserError: No success or no failure, or a length outside 1..t.
    """
    horizon = common_horizon(lengths, scores.shape[1])
    if success.all() or not success.any():
        counts = f"{int(success.sum())} successes of {len(success)} episodes"
        raise UserError(f"detection needs at least one success and one failure, got {counts}")
    at = limit[:horizon] if isinstance(limit, np.ndarray) else limit
    time = first_alarm(exceeds(scores[:, :horizon], at)) / horizon
    rates = _resampled_rates(time, episode_scores(scores, horizon), success, num_resamples, seed)
    n = len(success)
    return Detection(
        horizon, **{name: Estimate(float(r[0]), *percentile_interval(r[1:]), n) for name, r in rates.items()}
    )


def _resampled_rates(
    time: Float[np.ndarray, " e"],
    peak: Float[np.ndarray, " e"],
    success: Bool[np.ndarray, " e"],
    num_resamples: int,
    seed: int,
) -> dict[str, Float[np.ndarray, " r_plus_one"]]:
    """Each number of a `Detection`, of the episodes as they are and of their resamples behind it."""
    rng, counts = np.random.default_rng(seed), []
    for n in ((~success).sum(), success.sum()):
        drawn = rng.multinomial(n, np.full(n, 1 / n), size=num_resamples)
        counts.append(np.concatenate([np.ones((1, n)), drawn]))  # the first row is the episodes as they are
    failed, succeeded = counts
    num_failed, num_succeeded = failed.shape[1], succeeded.shape[1]

    # Division comes last: sums of counts are exact, and chance is 0.5 to the last digit.
    positive = failed @ (time[~success] < 1) / num_failed
    negative = succeeded @ (time[success] == 1) / num_succeeded
    delay = failed @ time[~success] / num_failed
    auc = ((failed @ wins(peak[~success], peak[success])) * succeeded).sum(1) / (num_failed * num_succeeded)
    return {
        "true_positive_rate": positive,
        "true_negative_rate": negative,
        "balanced_accuracy": (positive + negative) / 2,
        "detection_time": delay,
        "time_weighted_accuracy": (1 - delay + negative) / 2,
        "roc_auc": auc,
    }


def common_horizon(lengths: Int[np.ndarray, " e"], steps: int) -> int:
    """Length of the shortest episode.

    Raises:
        UserError: There is no episode, or a length outside 1..steps.
    """
    if not len(lengths) or lengths.min() < 1 or lengths.max() > steps:
        extent = f"{lengths.min()}..{lengths.max()}" if len(lengths) else "none"
        raise UserError(f"lengths of episodes must be in 1..{steps}, got {extent}")
    return int(lengths.min())


def episode_scores(scores: Float[np.ndarray, "e t"], horizon: int) -> Float[np.ndarray, " e"]:
    """Largest score of each episode up to the horizon; infinite where one is NaN, for NaN alarms at any limit."""
    return np.where(np.isnan(scores), np.inf, scores)[:, :horizon].max(1)


def controls(episodes: int, steps: int, seed: int = seeds.FIXED) -> dict[str, Float[np.ndarray, "e t"]]:
    """Scores that know nothing, by name: the elapsed steps, random numbers, a constant. A detector has to beat them."""
    return {
        "time": np.tile(np.arange(float(steps)), (episodes, 1)),
        "random": np.random.default_rng(seed).random((episodes, steps)),
        "constant": np.zeros((episodes, steps)),
    }

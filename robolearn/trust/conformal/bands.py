"""A band that the scores of a whole episode stay below: the alarm is calibrated per episode, not per step.

    mean of A, and its modulation sigma            ->  the band's shape, from one half of the calibration episodes
    D_i = max_t (s_it - mean_t) / sigma_t on B     ->  its height h, a split conformal threshold, from the other half

The two halves are disjoint, which the guarantee needs: P(some step of a new episode is above mean + h sigma) <= alpha
for episodes exchangeable with those of calibration. Calibrated on successes it bounds false alarms, and says nothing
of misses. `Band` is for episodes of equal length; `Form`, which episodes of any lengths give, is held at its last step
for those that go on.

Source: Diquigiovanni, Fontana and Vantini 2022, arXiv:2102.06746; its one-sided form as in Xu et al. 2025,
arXiv:2503.08558, with the rank instead of an interpolated quantile.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from robolearn.errors import UserError
from robolearn.trust.conformal.thresholds import check_scores, exceeds, threshold, threshold_rank

FLOOR = 1e-8  # of sigma: a step at which all scores agree


@dataclass(frozen=True)
class Band:
    """One-sided, time-varying upper limit of a score.

    Attributes:
        center: Mean score per step [t].
        scale: Modulation per step [t], above 0.
        height: h, in units of the scale; infinite where there were too few episodes.
    """

    center: Float[np.ndarray, " t"]
    scale: Float[np.ndarray, " t"]
    height: float

    @property
    def limit(self) -> Float[np.ndarray, " t"]:
        """The scores' limit per step, up to rounding: `alarms` decides about scores that tie with it."""
        return self.center + self.height * self.scale

    def alarms(self, scores: Float[np.ndarray, "e t"]) -> Bool[np.ndarray, "e t"]:
        """Which steps are above the band; NaN scores are.

        Raises:
            UserError: Episodes of another length.
        """
        _check_length(scores, len(self.center))
        return exceeds((scores - self.center) / self.scale, self.height)  # as they were ranked

    def heights(self, scores: Float[np.ndarray, "e t"]) -> Float[np.ndarray, " e"]:
        """How high each episode reaches in units of the band: the number that is compared with `height`; NaN if one is.

        Raises:
            UserError: Episodes of another length.
        """
        _check_length(scores, len(self.center))
        return ((scores - self.center) / self.scale).max(1)


def fit_band(
    shape: Float[np.ndarray, "e t"], height: Float[np.ndarray, "f s"], alpha: float, *, constant: bool = False
) -> Band:
    """Fit a band to the scores of exchangeable episodes of equal length.

    Args:
        shape: Episodes from which the band's form is taken; not used for anything else.
        height: Other episodes, on which its height is calibrated.
        alpha: False alarms per episode, in (0, 1).
        constant: The same limit at every step, for episodes whose phases do not align.

    Raises:
        UserError: No episode, no step, lengths that differ, NaN scores, or alpha outside (0, 1).
    """
    if not len(shape) or not shape.shape[1]:
        raise UserError("a band needs at least one episode of at least one step")
    _check_length(height, shape.shape[1])
    check_scores(shape.reshape(-1))
    steps = shape.shape[1]
    center, scale = (np.zeros(steps), np.ones(steps)) if constant else (shape.mean(0), modulation(shape, alpha))
    band = Band(center, scale, np.inf)
    return dataclasses.replace(band, height=threshold(band.heights(height), alpha))


def modulation(scores: Float[np.ndarray, "e t"], alpha: float) -> Float[np.ndarray, " t"]:
    """Largest deviation from the mean per step, among the share 1 - alpha of the episodes that deviate least."""
    deviation = np.abs(scores - scores.mean(0))
    return deviation[_near(deviation, alpha)].max(0) + FLOOR


@dataclass(frozen=True)
class Form:
    """Course of a band of any length; without arguments that of a constant limit.

    Attributes:
        center: Mean score at each step, from the last one on the same.
        scale: Modulation at each step, above 0, likewise.
    """

    center: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)

    @classmethod
    def fit(cls, episodes: Sequence[Sequence[float]], alpha: float) -> Form:
        """From episodes of different lengths, up to the step that half of them reach: few would give it no scale.

        The same to the last bit on every machine.

        Args:
            episodes: Scores of each; used for nothing else.
            alpha: In (0, 1); the share 1 - alpha of the episodes that deviate least gives the scale.

        Raises:
            UserError: There is no episode, one has no step, or a score is not finite.
        """
        lengths = np.array([len(scores) for scores in episodes])
        if not len(lengths) or not lengths.min() or not all(map(math.isfinite, (s for one in episodes for s in one))):
            raise UserError("the form of a band needs episodes of finite scores, at least one of at least one step")
        steps = int(np.sort(lengths)[len(lengths) // 2])
        there = np.arange(steps) < lengths[:, None]
        scores = np.array([[*one[:steps], *[0.0] * (steps - len(one))] for one in episodes])
        center = [math.fsum(scores[on, t]) / int(on.sum()) for t, on in enumerate(there.T)]
        deviation = np.where(there, np.abs(scores - center), 0.0)
        near = _near(deviation, alpha)
        scale = np.where(there[near].any(0), deviation[near].max(0), deviation.max(0)) + FLOOR
        return cls(tuple(center), tuple(scale.tolist()))

    def heights(self, scores: Float[np.ndarray, " s"], steps: Int[np.ndarray, " s"]) -> Float[np.ndarray, " s"]:
        """How high scores are at these steps, in units of the scale there."""
        at = np.minimum(steps, len(self.center) - 1)
        return (scores - np.array(self.center)[at]) / np.array(self.scale)[at]

    def limits(self, height: float) -> tuple[float, ...]:
        """Scores of that height at each step, the last from then on."""
        return tuple((np.array(self.center) + height * np.array(self.scale)).tolist())


CONSTANT = Form()


def _near(deviation: Float[np.ndarray, "e t"], alpha: float) -> Bool[np.ndarray, " e"]:
    """The share 1 - alpha of the episodes that deviate least."""
    worst = deviation.max(1)
    k = min(threshold_rank(len(deviation), alpha), len(deviation))
    return worst <= np.partition(worst, k - 1)[k - 1]


def first_alarm(alarms: Bool[np.ndarray, "e t"]) -> Int[np.ndarray, " e"]:
    """Step of each episode's first alarm; the number of steps where there is none."""
    return np.where(alarms.any(1), alarms.argmax(1), alarms.shape[1])


def _check_length(scores: Float[np.ndarray, "e t"], steps: int) -> None:
    if scores.shape[1] != steps:
        raise UserError(f"episodes have {scores.shape[1]} steps, the band {steps}")

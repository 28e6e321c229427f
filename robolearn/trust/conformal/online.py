"""Thresholds that follow a drifting stream, so that misses come out at alpha in the long run on any sequence.

Each tracker gives a threshold for the next score, and then learns whether the score exceeded it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from robolearn.errors import UserError
from robolearn.trust.conformal.thresholds import written


class AdaptiveLevel:
    """Adaptive conformal inference: a_{t+1} = a_t + gamma (alpha - err_t), a quantile of past scores at 1 - a_t.

    On any sequence |mean err - alpha| <= (max(a_1, 1 - a_1) + gamma) / (gamma T). At levels of 0 and below the
    threshold is infinite, at 1 and above minus infinity: the next score is within always, or never.

    Args:
        alpha: Wanted share of misses, in (0, 1).
        gamma: Step, above 0.

    Source: Gibbs and Candes 2021, arXiv:2106.00170, proposition 4.1.

    Raises:
        UserError: alpha or gamma is out of range.
    """

    def __init__(self, alpha: float, gamma: float = 0.01):
        written(alpha)
        if gamma <= 0:
            raise UserError(f"gamma must be above 0, got {gamma}")
        self.alpha, self.gamma, self.level = alpha, gamma, alpha

    def threshold(self, past: Float[np.ndarray, " n"]) -> float:
        """Threshold for the next score, from past ones."""
        return level_quantile(past, self.level)

    def update(self, missed: bool) -> None:
        """Learn whether the score exceeded the threshold."""
        self.level += self.gamma * (self.alpha - missed)


class AggregatedLevel:
    """DtACI: adaptive levels of several steps gamma, mixed by how well each has done lately.

    Args:
        alpha: Wanted share of misses, in (0, 1).
        gammas: Steps of the experts.
        window: Length of time [scores] over which to do well; sets the learning rate and how fast experts are forgiven.

    Source: Gibbs and Candes 2024, arXiv:2208.08401, with its learning rate.

    Raises:
        UserError: alpha is out of range, a gamma is not above 0, there is none, or the window is empty.
    """

    def __init__(
        self,
        alpha: float,
        gammas: Sequence[float] = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128),
        window: int = 500,
    ):
        written(alpha)
        if not gammas or min(gammas) <= 0 or window < 1:
            raise UserError(f"gammas {tuple(gammas)} must be above 0, at least one, and window {window} at least 1")
        k = len(gammas)
        self.alpha, self.gammas = alpha, np.asarray(gammas, float)
        self.levels, self.weights = np.full(k, alpha), np.full(k, 1 / k)
        self.share = 1 / (2 * window)
        spread = ((1 - alpha) ** 2 * alpha**3 + alpha**2 * (1 - alpha) ** 3) / 3
        self.rate = math.sqrt((math.log(k * window) + 2) / (window * spread))

    @property
    def level(self) -> float:
        """The experts' weighted mean."""
        return float(self.weights @ self.levels / self.weights.sum())

    def threshold(self, past: Float[np.ndarray, " n"]) -> float:
        """Threshold for the next score, from past ones."""
        return level_quantile(past, self.level)

    def update(self, score: float, past: Float[np.ndarray, " n"]) -> None:
        """Learn the score: the least level at which it is a miss tells how far each expert was off."""
        beta = missing_level(score, past)
        off = beta - self.levels
        losses = np.where(off >= 0, self.alpha * off, (self.alpha - 1) * off)
        weights = self.weights * np.exp(-self.rate * losses)
        self.weights = (1 - self.share) * weights / weights.sum() + self.share / len(weights)
        self.levels = self.levels + self.gammas * (self.alpha - (self.levels >= beta))


class QuantileTracker:
    """Tracks the threshold itself: q_{t+1} = q_t + eta (err_t - alpha), plus a saturating integrator; always finite.

    Args:
        alpha: Wanted share of misses, in (0, 1).
        start: First threshold, in units of the score.
        step: eta, in units of the score, above 0; about a tenth of the scores' range.
        integral: Gain K of the integrator, in units of the score; 0 for none.
        saturation: C: larger lets the integrator act later.

    Source: Angelopoulos, Candes and Tibshirani 2023, Conformal PID, arXiv:2307.16895.

    Raises:
        UserError: A number is out of range.
    """

    def __init__(self, alpha: float, start: float, step: float, integral: float = 0.0, saturation: float = 5.0):
        written(alpha)
        if step <= 0 or integral < 0 or saturation <= 0:
            raise UserError(
                f"step {step} and saturation {saturation} must be above 0, integral {integral} not negative"
            )
        self.alpha, self.step, self.integral, self.saturation = alpha, step, integral, saturation
        self.tracked, self.excess, self.count = start, 0.0, 0

    @property
    def threshold(self) -> float:
        """Threshold for the next score."""
        return self.tracked + self.integral * self._saturated()

    def update(self, missed: bool) -> None:
        """Learn whether the score exceeded the threshold."""
        self.tracked += self.step * (missed - self.alpha)
        self.excess += missed - self.alpha
        self.count += 1

    def _saturated(self) -> float:
        if self.count == 0:
            return 0.0
        angle = self.excess * math.log(self.count + 1) / (self.count * self.saturation)
        # Beyond a quarter turn the paper's tangent is infinite; a large number keeps the threshold finite.
        return math.tan(min(max(angle, -1.57), 1.57))


def level_quantile(past: Float[np.ndarray, " n"], level: float) -> float:
    """The smallest of the past scores that a share of at most ``level`` exceeds; infinite for levels outside [0, 1)."""
    if level >= 1:
        return -math.inf
    n = len(past)
    k = math.ceil((n + 1) * (1 - level))
    return math.inf if k > n or level <= 0 else float(np.partition(past, k - 1)[k - 1])


def missing_level(score: float, past: Float[np.ndarray, " n"]) -> float:
    """The least level whose ``level_quantile`` the score exceeds, (1 + g) / (n + 1) with g past scores not below it.

    The threshold at a level is the k-th smallest score, k = ceil((n + 1) (1 - level)); the score exceeds it where
    k <= n - g, that is at this level and above.
    """
    return (1 + int(np.sum(past >= score))) / (len(past) + 1)

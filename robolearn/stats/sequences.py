"""Confidence sequences: intervals of a mean that hold at every moment together, so that one may stop when one likes.

An interval of fixed size may be looked at once. Whoever looks after every episode and stops at the first that shows
something is wrong far more often than it says. Here a gambler bets on the differences d_1, d_2, ... in [-1, 1]. If
their mean were m, a bet of the share c of the capital on "the mean is above m" would multiply it by

    1 + c (d - m) / (1 + m)        never below 0, since d >= -1; its mean is 1

so the capital would stay about 1, and reach 1/alpha at any time with probability alpha at most (Ville 1939). Means for
which it has ever come so far are excluded. Several gamblers, each with its own share of the capital and its own bet,
are one gambler: no bet has to be chosen. For differences of -1, 0 and 1 and m = 0 those of 0 change nothing, and what
remains is a test of whether +1 is as frequent as -1 among the others, as McNemar's is.

Source: Waudby-Smith and Ramdas 2024, Estimating means of bounded random variables by betting, J. R. Statist. Soc. B 86
(hedged capital); Ville 1939, Etude critique de la notion de collectif.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

# Bet -> share of the capital. The best bet on paired successes is (how often +1 minus how often -1) / (how often
# either), so what is worth telling apart lies above a tenth; the small ones let intervals of long comparisons shrink.
PORTFOLIO = {1.0: 0.24, 0.75: 0.14, 0.5: 0.14, 0.3: 0.14, 0.2: 0.14, 0.12: 0.12} | {
    0.06: 0.04,
    0.03: 0.02,
    0.015: 0.01,
    0.0075: 0.01,
}
BETS, SHARES = np.array(list(PORTFOLIO)), np.array(list(PORTFOLIO.values()))
MEANS = np.arange(-999, 1000) / 1000


def log_capital(differences: Float[np.ndarray, "*r n"], mean: float) -> Float[np.ndarray, "*r n"]:
    """Logarithm of the capital, 1 at first, after each bet on "the mean is above ``mean``".

    Where the mean is ``mean`` or below it reaches 1/alpha at any time with probability alpha at most. Turn both signs
    around to bet on "below".

    Args:
        differences: In [-1, 1].
        mean: In (-1, 1).
    """
    return _joined(np.cumsum(_log_gains(differences, np.array([mean])), axis=-3))[..., 0]


def _log_gains(differences: Float[np.ndarray, "*n"], means: Float[np.ndarray, " m"]) -> Float[np.ndarray, "*n m c"]:
    """Logarithm of what each bet on each mean multiplies its capital by."""
    worth = (differences[..., None] - means) / (1 + means)
    with np.errstate(divide="ignore"):  # who bets everything and loses has nothing left
        return np.log1p(worth[..., None] * BETS)


def _joined(logs: Float[np.ndarray, "*n c"]) -> Float[np.ndarray, "*n"]:
    """Logarithm of the capital of all gamblers together."""
    top = logs.max(-1, keepdims=True)  # the smallest bet never loses everything
    return top[..., 0] + np.log(np.exp(logs - top) @ SHARES)


class LowerEnd:
    """The largest mean that is excluded from below so far; -1 where none is.

    Args:
        alpha: Probability of ever excluding the true mean.
        means: Means that can be excluded, ascending.
    """

    def __init__(self, alpha: float, means: Float[np.ndarray, " m"]):
        self.value, self._target = -1.0, math.log(1 / alpha)
        self._means, self._logs = means, np.zeros((len(means), len(BETS)))

    def update(self, difference: float) -> float:
        """Bet on one more difference."""
        self._logs = self._logs + _log_gains(np.array(difference), self._means)
        excluded = np.flatnonzero(_joined(self._logs) >= self._target)
        if len(excluded):  # all means below are excluded too, for good
            last = excluded[-1]
            self.value = float(self._means[last])
            self._means, self._logs = self._means[last + 1 :], self._logs[last + 1 :]
        return self.value


class ConfidenceSequence:
    """Open interval (low, high) of the mean of differences, after each of them; all together hold with 1 - alpha.

    Each is within the one before. Ends are thousandths, rounded outward, -1 and 1 where nothing is excluded.

    Args:
        alpha: Probability that the mean is ever outside.
        thresholds: Means in (-1, 1) to be decided on exactly, though they are no thousandths.

    Raises:
        ValueError: alpha or a threshold is not in its range.
    """

    def __init__(self, alpha: float, thresholds: tuple[float, ...] = ()):
        if not 0 < alpha < 1 or not all(-1 < threshold < 1 for threshold in thresholds):
            raise ValueError(f"alpha {alpha} must be in (0, 1), thresholds {thresholds} in (-1, 1)")
        means = np.unique([*MEANS, *thresholds, *(-threshold for threshold in thresholds)])
        self._below, self._above = LowerEnd(alpha / 2, means), LowerEnd(alpha / 2, means)

    @property
    def interval(self) -> tuple[float, float]:
        """The present one."""
        return self._below.value, -self._above.value

    def update(self, difference: float) -> tuple[float, float]:
        """The interval after one more difference.

        Raises:
            ValueError: It is not in [-1, 1].
        """
        if not -1 <= difference <= 1:
            raise ValueError(f"a difference must be in [-1, 1], got {difference}")
        self._below.update(difference)
        self._above.update(-difference)
        return self.interval


def confidence_sequence(
    differences: Float[np.ndarray, " n"], alpha: float, thresholds: tuple[float, ...] = ()
) -> Float[np.ndarray, "n 2"]:
    """`ConfidenceSequence` of all differences: low and high after each."""
    sequence = ConfidenceSequence(alpha, thresholds)
    return np.array([sequence.update(float(difference)) for difference in differences]).reshape(-1, 2)


def fewest_differences(alpha: float, threshold: float) -> int:
    """How many differences of 1 it takes to show that the mean is above a threshold: no verdict is possible before."""
    sequence, number = LowerEnd(alpha / 2, np.array([threshold])), 0
    while sequence.value < threshold:
        sequence.update(1.0)
        number += 1
    return number

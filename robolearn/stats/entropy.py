"""Coverage of a task's modes as entropy: how evenly episodes, or those from one initial state, take them."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float, Int

from robolearn import seeds
from robolearn.stats.bootstrap import NUM_RESAMPLES, drawn_with_replacement
from robolearn.stats.value import CONFIDENCE, Estimate

NUM_SIMULATIONS = 10_000


def mode_entropy(modes: Int[np.ndarray, " n"], num_modes: int) -> float:
    """Entropy of the modes taken, in [0, 1]: 0 is one mode only, 1 is all modes equally often.

    H = (-sum_m p_m log p_m + (m_seen - 1) / (2 n)) / log num_modes, clipped. The second term is the
    Miller-Madow correction: without it n = 200 draws from 24 equal modes look like 0.98 instead of 1.

    Args:
        modes: Mode of each episode, in 0..num_modes - 1.
        num_modes: Modes that the task has, at least 2.

    Source: Miller 1955, Note on the bias of information estimates.

    Raises:
        ValueError: Without episodes, for num_modes < 2 and for a mode out of range.
    """
    corrected = float(_corrected_entropy(_mode_counts(modes, num_modes)))
    return min(max(corrected / math.log(num_modes), 0.0), 1.0)


def mode_entropy_estimate(
    modes: Int[np.ndarray, " n"],
    num_modes: int,
    groups: Int[np.ndarray, " n"] | None = None,
    *,
    num_resamples: int = NUM_RESAMPLES,
) -> Estimate:
    """`mode_entropy` with a symmetric bootstrap interval, clipped to [0, 1].

    The plug-in entropy of a resample is biased low, so a percentile interval of it can miss the truth nearly always.
    Here every resample is corrected as the estimate is, its error is taken against the plug-in entropy of the observed
    histogram, which *is* the truth that the resamples were drawn from, and the half-width is the quantile of the
    absolute error. Where only one mode was seen, every resample agrees, so the upper end comes from the largest
    probability that unseen modes can have at this confidence, spread evenly over them.

    Coverage by simulation at 95 %: 0.88 to 1.00 with 8 episodes per mode and more, lowest where many modes are rare.
    With fewer episodes than modes no estimator from the histogram can be trusted: rare modes are simply not seen.

    Args:
        modes: Of each episode.
        num_modes: Modes that the task has.
        groups: Number of the group of each episode, as in `bootstrap.clustered_mean`. One group tells nothing, its
            interval is [0, 1]. By default every episode is a group.
        num_resamples: Bootstrap repetitions.

    Source: Hall 1988, On symmetric bootstrap confidence intervals.

    Raises:
        ValueError: As `mode_entropy`.
    """
    counts, shown, n = _mode_counts(modes, num_modes), mode_entropy(modes, num_modes), len(modes)
    groups = np.arange(n) if groups is None else groups
    num_groups, scale = int(groups.max()) + 1, math.log(num_modes)
    if num_groups == 1 < n:
        return Estimate(shown, 0.0, 1.0, n)
    resamples = _resampled_counts(modes, groups, num_modes, num_resamples)
    error = np.abs(_corrected_entropy(resamples) - _entropy(counts / n))
    value, half = float(_corrected_entropy(counts)), float(np.quantile(error, CONFIDENCE))
    high = _unseen_entropy(num_groups, num_modes) if np.count_nonzero(counts) == 1 else value + half
    return Estimate(shown, min(max((value - half) / scale, 0.0), 1.0), min(high / scale, 1.0), n)


def conditional_mode_entropies(
    success: Bool[np.ndarray, "*c n"], modes: Int[np.ndarray, "*c n"], num_modes: int
) -> Float[np.ndarray, "*c"]:
    """`mode_entropy` of the successful episodes from each initial state, in [0, 1]; 0 for a state without success.

    A policy that takes one way from each start, each start another one, has 0 here and 1 in the entropy over all
    episodes. With few repetitions per mode it stays below the truth even for a perfect policy: 24 repetitions of 24
    equal modes show 0.92. Compare with `expected_mode_entropy` of the demonstrators for as many repetitions.

    Args:
        success: Whether each of n repetitions from an initial state succeeded: the same start, other noise.
        modes: Which way it took, -1 where undefined.
        num_modes: Modes that the task has.

    Source: Jia et al. 2024, D3IL, arXiv:2402.14606, for their mean, there without correction.

    Raises:
        ValueError: For num_modes < 2 and for a mode out of range.
    """
    counted = success & (modes >= 0)
    shown = np.zeros(modes.shape[:-1])
    *state, _ = np.nonzero(counted)
    if not len(state[0]):
        return shown
    _check_modes(modes[counted], num_modes)
    counts = np.zeros((*shown.shape, num_modes), np.int64)
    np.add.at(counts, (*state, modes[counted]), 1)
    seen = counted.any(-1)
    shown[seen] = np.clip(_corrected_entropy(counts[seen]) / math.log(num_modes), 0.0, 1.0)
    return shown


def expected_mode_entropy(distribution: Float[np.ndarray, " m"], num_repeats: int) -> float:
    """What `mode_entropy` shows on average for this many draws of a distribution: the demonstrators' own value."""
    draws = np.random.default_rng(seeds.FIXED).multinomial(num_repeats, distribution, size=NUM_SIMULATIONS)
    shown = _corrected_entropy(draws) / math.log(len(distribution))
    return float(np.clip(shown, 0, 1).mean())


def _mode_counts(modes: Int[np.ndarray, " n"], num_modes: int) -> Int[np.ndarray, " m"]:
    if len(modes) == 0:
        raise ValueError("the entropy of modes needs at least one episode, got none")
    _check_modes(modes, num_modes)
    return np.bincount(modes, minlength=num_modes)


def _check_modes(modes: Int[np.ndarray, " n"], num_modes: int) -> None:
    if num_modes < 2:
        raise ValueError(f"num_modes must be at least 2, got {num_modes}")
    if modes.min() < 0 or modes.max() >= num_modes:
        raise ValueError(f"modes must be in 0..{num_modes - 1}, got {modes.min()}..{modes.max()}")


def _resampled_counts(
    modes: Int[np.ndarray, " n"], groups: Int[np.ndarray, " n"], num_modes: int, num_resamples: int
) -> Int[np.ndarray, "r m"]:
    """Histograms of resamples: groups are drawn whole, with replacement."""
    n, num_groups, rng = len(modes), int(groups.max()) + 1, np.random.default_rng(seeds.FIXED)
    if num_groups == n:
        return rng.multinomial(n, _mode_counts(modes, num_modes) / n, size=num_resamples)
    table = np.zeros((num_groups, num_modes), np.int64)
    np.add.at(table, (groups, modes), 1)
    blocks = drawn_with_replacement(rng, num_groups, num_resamples)
    return np.concatenate([table[rows].sum(1) for rows in blocks])


def _unseen_entropy(num_groups: int, num_modes: int) -> float:
    """Largest entropy [nat] that modes of which these groups showed one alone can have at this confidence."""
    unseen = min(1 - (1 - CONFIDENCE) ** (1 / num_groups), 1 - 1 / num_modes)  # beyond this the entropy falls again
    spread = np.full(num_modes, unseen / (num_modes - 1))
    spread[0] = 1 - unseen
    return float(_entropy(spread))


def _entropy(p: Float[np.ndarray, "*r m"]) -> Float[np.ndarray, "*r"]:
    return np.asarray(-(p * np.log(np.where(p > 0, p, 1.0))).sum(-1))


def _corrected_entropy(counts: Int[np.ndarray, "*r m"]) -> Float[np.ndarray, "*r"]:
    """Entropy [nat] of histograms with Miller and Madow's correction, neither normalized nor clipped."""
    n = counts.sum(-1, keepdims=True)
    return np.asarray(_entropy(counts / n) + (np.count_nonzero(counts, axis=-1) - 1) / (2 * n[..., 0]))

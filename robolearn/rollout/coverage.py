"""How much of what the demonstrators do a policy does: entropy of modes per initial state, and their divergence.

Arrays have a row per initial state and a column per repetition, [c, n]: the same start, other noise. `success` is
whether the episode succeeded, `modes` which way it took (-1 where undefined). Only successful episodes count.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float, Int

from robolearn import seeds
from robolearn.rollout.intervals import CONFIDENCE, NUM_RESAMPLES, corrected_entropy, mode_entropy
from robolearn.rollout.metrics import Estimate

NUM_SIMULATIONS = 10_000


def conditional_mode_entropies(
    success: Bool[np.ndarray, "c n"], modes: Int[np.ndarray, "c n"], num_modes: int
) -> Float[np.ndarray, " c"]:
    """`mode_entropy` of the successful episodes from each initial state, in [0, 1]; 0 for a state without success.

    Their mean over states is the conditional entropy of D3IL (Jia et al. 2024, arXiv:2402.14606), with the
    correction of Miller and Madow. A policy that takes one way from each start, each start another one, has 0 here
    and 1 in the entropy over all episodes.

    With few repetitions per mode it stays below the truth even for a perfect policy: 24 repetitions of 24 equal
    modes show 0.92. Compare with `expected_mode_entropy` of the demonstrators for as many repetitions.

    Raises:
        ValueError: For num_modes < 2 and for a mode out of range.
    """
    counted = success & (modes >= 0)
    return np.array([mode_entropy(m[c], num_modes) if c.any() else 0.0 for m, c in zip(modes, counted, strict=True)])


def expected_mode_entropy(
    distribution: Float[np.ndarray, " m"],
    num_repeats: int,
    num_simulations: int = NUM_SIMULATIONS,
    seed: int = seeds.FIXED,
) -> float:
    """What `mode_entropy` shows on average for this many draws of a distribution: the demonstrators' own value."""
    draws = np.random.default_rng(seed).multinomial(num_repeats, distribution, size=num_simulations)
    shown = corrected_entropy(draws) / math.log(len(distribution))
    return float(np.clip(shown, 0, 1).mean())


def mode_divergence(demonstrations: Int[np.ndarray, " m"], policy: Int[np.ndarray, "*r m"]) -> Float[np.ndarray, "*r"]:
    """KL(demonstrators || policy) of two histograms of modes [nat], at least 0; large where the policy lacks a mode.

    This direction asks for coverage: KL(policy || demonstrators) would not mind a policy with one mode much more
    than log m. Both histograms get one more episode, spread evenly over the modes (Perks 1947), so that a mode that
    was never seen costs log(n + 1) times its share and not infinity.

    Args:
        demonstrations: Episodes per mode.
        policy: Successful episodes per mode, any leading axes.
    """
    num_modes = demonstrations.shape[-1]
    p, q = (
        (counts + 1 / num_modes) / (counts.sum(-1, keepdims=True) + 1)
        for counts in (demonstrations, np.asarray(policy))
    )
    return np.asarray((p * (np.log(p) - np.log(q))).sum(-1))


def mode_divergence_estimate(
    demonstrations: Int[np.ndarray, " m"],
    success: Bool[np.ndarray, "s c n"],
    modes: Int[np.ndarray, "s c n"],
    *,
    num_resamples: int = NUM_RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = seeds.FIXED,
) -> Estimate | None:
    """Mean over training seeds s of `mode_divergence` over all successful episodes, corrected for its bias.

    n draws of m modes have a divergence of about (m - 1) / 2n from their own distribution. The bootstrap shows that
    bias once more: seeds and states are drawn with replacement, states with all their episodes, and the estimate is
    2 KL minus the resamples' mean. The interval is the basic one, 2 KL minus the resamples' quantiles; all are
    clipped at 0. Resamples without a success count for nothing.

    Returns:
        None where a training seed has no success: there is no distribution to compare.

    Source: Efron and Tibshirani 1993, chapters 10 and 13.
    """
    found = divergence_resamples(demonstrations, success, modes, num_resamples=num_resamples, seed=seed)
    if found is None:
        return None
    value, resampled = found[0], found[1][np.isfinite(found[1])]
    high, low = np.quantile(resampled, [0.5 - confidence / 2, 0.5 + confidence / 2])
    clipped = (max(2 * value - float(x), 0.0) for x in (resampled.mean(), low, high))
    return Estimate(*clipped, n=int((success & (modes >= 0)).sum()))


def divergence_resamples(
    demonstrations: Int[np.ndarray, " m"],
    success: Bool[np.ndarray, "s c n"],
    modes: Int[np.ndarray, "s c n"],
    *,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = seeds.FIXED,
) -> tuple[float, Float[np.ndarray, " r"]] | None:
    """Mean over training seeds of `mode_divergence`, as it is and in resamples of seeds and states.

    Two policies with the same seeds and states get the same draws: the difference of their resamples is paired.

    Returns:
        Value and resamples, not corrected; NaN in a resample in which a seed has no success. None where a training
        seed has none at all.
    """
    num_modes, (num_seeds, num_states) = len(demonstrations), modes.shape[:2]
    labels = np.where(success & (modes >= 0), modes, num_modes)
    table = (labels[..., None] == np.arange(num_modes)).sum(2)  # [s, c, m], failures dropped
    if (table.sum((1, 2)) == 0).any():
        return None
    rng = np.random.default_rng(seed)
    rows = rng.integers(num_seeds, size=(num_resamples, num_seeds, 1))
    columns = rng.integers(num_states, size=(num_resamples, 1, num_states))
    drawn = table[rows, columns].sum(2)
    resampled = np.where((drawn.sum(-1) > 0).all(1), mode_divergence(demonstrations, drawn).mean(1), np.nan)
    return float(mode_divergence(demonstrations, table.sum(1)).mean()), resampled

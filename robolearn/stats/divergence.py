"""Coverage of a task's modes as divergence from what the demonstrators do."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from robolearn.stats.bootstrap import Draws, basic_estimate
from robolearn.stats.value import WHOLE_LINE, Estimate

Episodes = tuple[Bool[np.ndarray, "s c n"], Int[np.ndarray, "s c n"]]
"""Success of n repetitions from c initial states with s training seeds, and modes, -1 where undefined.

Only successful episodes count."""


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
    demonstrations: Int[np.ndarray, " m"], policy: Episodes, draws: Draws | None = None
) -> Estimate | None:
    """Mean over training seeds of `mode_divergence` over all successful episodes, corrected for its bias.

    n draws of m modes have a divergence of about (m - 1) / 2n from their own distribution. The bootstrap shows that
    bias once more: seeds and states are drawn with replacement, states with all their episodes. Value and ends are
    clipped at 0. Resamples without a success count for nothing. One state shows no spread: its interval has no upper
    end.

    Args:
        demonstrations: Episodes per mode.
        policy: Its episodes.
        draws: Resamples of seeds and states; always the same ones by default.

    Returns:
        None where a training seed has no success: there is no distribution to compare.
    """
    divergences = _resamples(demonstrations, policy, draws)
    if divergences is None:
        return None
    n = int((policy[0] & (policy[1] >= 0)).sum())
    estimate = basic_estimate(divergences[0], divergences[1][np.isfinite(divergences[1])], n)
    interval = (estimate.low, estimate.high) if policy[1].shape[1] > 1 else WHOLE_LINE
    return Estimate(*(max(x, 0.0) for x in (estimate.value, *interval)), n=n)


def _resamples(
    demonstrations: Int[np.ndarray, " m"], policy: Episodes, draws: Draws | None
) -> tuple[float, Float[np.ndarray, " r"]] | None:
    """Mean over training seeds of `mode_divergence`, as it is and in resamples of seeds and states.

    Returns:
        Value and resamples, not corrected; NaN in a resample in which a seed has no success. None where a training
        seed has none at all.
    """
    (success, modes), num_modes = policy, len(demonstrations)
    labels = np.where(success & (modes >= 0), modes, num_modes)
    table = (labels[..., None] == np.arange(num_modes)).sum(2)  # [s, c, m], failures dropped
    if (table.sum((1, 2)) == 0).any():
        return None
    draws = draws or Draws.resample(*modes.shape[:2])
    drawn = table[draws.rows, draws.columns].sum(2)
    resampled = np.where((drawn.sum(-1) > 0).all(1), mode_divergence(demonstrations, drawn).mean(1), np.nan)
    return float(mode_divergence(demonstrations, table.sum(1)).mean()), resampled

"""Intervals over training seeds and initial states together, and of differences between two policies.

A number is known per training seed and group, [s, c]; a group is an initial state with all its repetitions, or a
held-out episode. Seeds and groups are drawn with replacement; what happens within a group needs no drawing of its
own, since the groups' numbers carry it already (Cameron, Gelbach and Miller 2008, on cluster bootstraps).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from robolearn import seeds
from robolearn.rollout.intervals import CONFIDENCE, NUM_RESAMPLES
from robolearn.rollout.metrics import Estimate


def grouped_mean(
    values: Float[np.ndarray, "s c"],
    *,
    shared_groups: bool = True,
    num_resamples: int = NUM_RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = seeds.FIXED,
) -> Estimate:
    """Mean over seeds and groups, with a percentile bootstrap interval.

    Args:
        values: One number per training seed and group.
        shared_groups: Column c is the same group for every seed, as with initial states: one draw of columns serves
            all seeds. Otherwise, as with held-out episodes, each seed draws its own.
        num_resamples: Bootstrap repetitions.
        confidence: Nominal coverage; with ten groups it holds about 0.91 of the time.
        seed: Makes the interval reproducible.

    Returns:
        Mean and interval; one group gives the whole line, as it shows no spread.
    """
    num_seeds, num_groups = values.shape
    if num_groups == 1:
        return Estimate(float(values.mean()), -np.inf, np.inf, num_seeds)
    rng = np.random.default_rng(seed)
    rows = rng.integers(num_seeds, size=(num_resamples, num_seeds, 1))
    columns = rng.integers(num_groups, size=(num_resamples, 1 if shared_groups else num_seeds, num_groups))
    means = values[rows, columns].mean((1, 2))
    low, high = np.quantile(means, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Estimate(float(values.mean()), float(low), float(high), values.size)


def paired_difference(
    first: Float[np.ndarray, "s c"], second: Float[np.ndarray, "s c"], *, shared_groups: bool = True
) -> Estimate:
    """Mean of first - second, where both have the same training seeds and the same groups.

    Seeds and groups are drawn together for the two, so that what they share (easy starts, easy splits) cancels.
    """
    assert first.shape == second.shape, (first.shape, second.shape)
    return grouped_mean(first - second, shared_groups=shared_groups)

"""Two policies with the same training seeds and groups: what they share, such as easy starts, cancels.

Seeds and groups are drawn together for the two, [s, c] numbers each; see `bootstrap.Draws`.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from robolearn.stats.bootstrap import Draws, Resampled, grouped_mean, percentile_interval
from robolearn.stats.value import WHOLE_LINE, Estimate


def paired_difference(
    first: Float[np.ndarray, "s c"], second: Float[np.ndarray, "s c"], *, shared_groups: bool = True
) -> Estimate:
    """Mean of first - second."""
    assert first.shape == second.shape, (first.shape, second.shape)
    return grouped_mean(first - second, shared_groups=shared_groups)


def median_ratio(first: Float[np.ndarray, " s"], second: Float[np.ndarray, " s"], draws: Draws) -> Resampled:
    """Median of first in that of second, of what is measured once per training seed; one seed shows no spread."""
    rows = draws.rows[..., 0]
    shares = np.median(first[rows], axis=1) / np.median(second[rows], axis=1)
    interval = percentile_interval(shares) if len(first) > 1 else WHOLE_LINE
    return Resampled(Estimate(float(np.median(first) / np.median(second)), *interval, len(first)), shares)

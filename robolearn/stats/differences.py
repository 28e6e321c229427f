"""Two policies with the same training seeds and groups: what they share, such as easy starts, cancels.

Seeds and groups are drawn together for the two, [s, c] numbers each; see `bootstrap.Draws`.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Shaped

from robolearn.stats.bootstrap import Draws, Resampled, grouped_mean, percentile_interval
from robolearn.stats.value import WHOLE_LINE, Estimate


def paired_difference(
    first: Shaped[np.ndarray, "s c"], second: Shaped[np.ndarray, "s c"], *, shared_groups: bool = True
) -> Estimate:
    """Mean of first - second."""
    assert first.shape == second.shape, (first.shape, second.shape)
    # Unsigned integers know no difference below 0, and truth values none at all.
    return grouped_mean(np.subtract(first, second, dtype=float), shared_groups=shared_groups)


def paired_ratio(first: Float[np.ndarray, " s"], second: Float[np.ndarray, " s"], draws: Draws) -> Resampled:
    """Median of first / second, of what is measured once per training seed or round; once shows no spread."""
    shares = first / second
    medians = np.median(shares[draws.rows[..., 0]], axis=1)
    interval = percentile_interval(medians) if len(shares) > 1 else WHOLE_LINE
    return Resampled(Estimate(float(np.median(shares)), *interval, len(shares)), medians)

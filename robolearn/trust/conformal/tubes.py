"""Tubes around a predicted trajectory that hold the true one at all steps at once.

    normalized maximum   one quantile of max_t e_t / sigma_t; sigma_t from other episodes (Cleaveland et al. 2024)
    union bound          a quantile per step at alpha / T (Lindemann et al. 2023); infinite below T / alpha - 1 episodes

e_t is the distance of the true from the predicted position at step t of the prediction, e.g. [m].
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from robolearn.trust.conformal.thresholds import threshold

FLOOR = 1e-12  # of sigma, for a step at which the prediction is exact


def tube_scale(errors: Float[np.ndarray, "e t"]) -> Float[np.ndarray, " t"]:
    """sigma_t, the root mean square error of each step."""
    return np.sqrt(np.square(errors).mean(0)) + FLOOR


def tube(errors: Float[np.ndarray, "e t"], scale: Float[np.ndarray, " t"], alpha: float) -> Float[np.ndarray, " t"]:
    """Radius per step, such that P(e_t <= radius_t for all t) >= 1 - alpha.

    Rounded up, so that errors which tie with the threshold are inside.

    Args:
        errors: Of calibration episodes, one prediction from each.
        scale: From other episodes, `tube_scale`.
        alpha: In (0, 1).

    Source: Cleaveland et al. 2024, arXiv:2304.01075.

    Raises:
        UserError: An error is NaN, or alpha outside (0, 1).
    """
    radius = threshold((errors / scale).max(1), alpha) * scale
    return radius * (1 + 4 * np.finfo(radius.dtype).eps)


def union_tube(errors: Float[np.ndarray, "e t"], alpha: float) -> Float[np.ndarray, " t"]:
    """The same promise from a threshold per step at alpha / T; here for comparison.

    Source: Lindemann et al. 2023, arXiv:2210.10254.

    Raises:
        UserError: As `tube`.
    """
    steps = errors.shape[1]
    return np.array([threshold(errors[:, t], alpha / steps) for t in range(steps)])

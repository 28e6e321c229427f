"""How far apart an ensemble's predictions are, and which of several views to believe.

The distance between two predictions is the mean over their numbers of the absolute difference: ADD, the average
distance of a model's points, where each number is the place of one point along a line.

Source: Shi et al. 2021, arXiv:2011.07748.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from robolearn.errors import UserError


def distance(a: Float[np.ndarray, "*shape d"], b: Float[np.ndarray, "*shape d"]) -> Float[np.ndarray, "*shape"]:
    """Mean absolute difference, in the unit of the predictions."""
    return np.abs(a - b).mean(-1)


def disagreement(predictions: Float[np.ndarray, "k *shape d"]) -> Float[np.ndarray, "*shape"]:
    """Mean distance over all pairs of members, in the unit of the predictions.

    Raises:
        UserError: There are fewer than two members.
    """
    if len(predictions) < 2:
        raise UserError(f"disagreement needs at least 2 members, got {len(predictions)}")
    first, second = np.triu_indices(len(predictions), 1)
    return distance(predictions[first], predictions[second]).mean(0)


def most_certain(scores: Float[np.ndarray, "v *shape"]) -> Int[np.ndarray, "*shape"]:
    """Index of the view whose members disagree least; NaN is never chosen where there is another."""
    return np.where(np.isnan(scores), np.inf, scores).argmin(0)

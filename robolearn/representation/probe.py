"""How much of some numbers a linear function of embeddings tells: the usual measure of a representation."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from robolearn.errors import UserError

Rows = Float[np.ndarray, "_ _"]


def linear_probe(
    training: tuple[Rows, Rows], heldout: tuple[Rows, Rows], *, ridge: float = 1e-3
) -> Float[np.ndarray, " d"]:
    """Fit a ridge regression from embeddings to numbers, and measure it on held-out rows.

        explained = linear_probe((features, states), (heldout_features, heldout_states))

    Args:
        training: Embeddings [n, f] and numbers [n, d], in any units; each column is standardized.
        heldout: The same of other episodes.
        ridge: Weight of the squared coefficients beside the mean squared error, in standardized units.

    Returns:
        Share of each number's variance on the held-out rows that is explained, R^2: 1 at best, 0 for who says the mean
        of the held-out rows, below 0 for worse.

    Raises:
        UserError: There are no rows, they do not fit together, or a number is the same in all held-out rows.
    """
    (x, y), (x_new, y_new) = training, heldout
    alike = x.shape[1:] == x_new.shape[1:] and y.shape[1:] == y_new.shape[1:]
    if not (0 < len(x) == len(y) and 0 < len(x_new) == len(y_new) and alike):
        raise UserError(f"probe: rows do not fit together: {x.shape}, {y.shape}, {x_new.shape}, {y_new.shape}")
    check_varied(y_new)
    center, scale = x.mean(0), _spread(x)
    x, x_new, mean = (x - center) / scale, (x_new - center) / scale, y.mean(0)
    spread = _spread(y)
    gram = x.T @ x / len(x) + ridge * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, x.T @ ((y - mean) / spread) / len(x))
    return explained(mean + spread * (x_new @ weights), y_new)


def _spread(rows: Rows) -> Float[np.ndarray, " d"]:
    """Standard deviation of each number, 1 where it is always the same: that of equal numbers may be above 0."""
    return np.where(np.ptp(rows, axis=0) > 0, rows.std(0), 1.0)


def explained(predicted: Rows, numbers: Rows) -> Float[np.ndarray, " d"]:
    """Share of each number's variance that predictions explain, R^2."""
    return 1 - np.square(numbers - predicted).sum(0) / np.square(numbers - numbers.mean(0)).sum(0)


def check_varied(numbers: Rows) -> None:
    """Raise a UserError if one is the same in all rows."""
    if (constant := np.flatnonzero(np.ptp(numbers, axis=0) == 0)).size:
        raise UserError(f"probe: number {constant[0]} is the same in all held-out rows, so there is nothing to tell")

"""How well sampled chunks agree with an expert's at the same observations: energy distance and bridge rate.

Chunks are flat vectors of d normalized numbers, and distances are root mean squares over these, so that they read
in units of half the range of an action. Letters: e observations, n samples, k neighbors.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

EXPERT_QUANTILE = 0.99
BRIDGE_FACTOR = 3.0


def chunk_energy(samples: Float[np.ndarray, "e n d"], expert: Float[np.ndarray, "e d"]) -> Float[np.ndarray, " e"]:
    """2 E|x - y| - E|x - x'| per observation, for n samples x of a policy and the one chunk y of the expert.

    The energy distance is D = 2 E|x - y| - E|x - x'| - E|y - y'|, at least 0 and 0 for equal distributions only. One
    recorded chunk per observation does not tell E|y - y'|; that term depends on the data alone. The mean of the
    returned numbers is therefore an unbiased estimate of mean D plus a constant that all policies share: differences
    between policies at the same observations are differences of D, and lower is better. (It is twice the energy
    score, a strictly proper score.) E|x - x'| is over pairs of different samples.

    Source: Gneiting and Raftery 2007, doi:10.1198/016214506000001437, eq. 21; Szekely and Rizzo 2013.

    Raises:
        ValueError: For fewer than two samples.
    """
    n = samples.shape[1]
    if n < 2:
        raise ValueError(f"the energy of chunks needs at least 2 samples per observation, got {n}")
    to_expert = _distances(samples, expert[:, None]).mean((1, 2))
    among = _distances(samples, samples).sum((1, 2)) / (n * (n - 1))
    return 2 * to_expert - among


def nearest_distance(
    chunks: Float[np.ndarray, "e n d"], neighbors: Float[np.ndarray, "e k d"]
) -> Float[np.ndarray, "e n"]:
    """Distance of each chunk to the nearest of the expert's chunks at neighboring observations."""
    return _distances(chunks, neighbors).min(-1)


def expert_radius(
    expert: Float[np.ndarray, "e d"], neighbors: Float[np.ndarray, "e k d"], quantile: float = EXPERT_QUANTILE
) -> float:
    """Distance r that the expert's own chunks, not among the neighbors, exceed with probability 1 - quantile."""
    return float(np.quantile(nearest_distance(expert[:, None], neighbors), quantile))


def share_beyond(
    samples: Float[np.ndarray, "e n d"], neighbors: Float[np.ndarray, "e k d"], radius: float
) -> Float[np.ndarray, " e"]:
    """Share of the samples at each observation that lie farther than ``radius`` from every neighboring chunk.

    Beyond the expert's radius r lies what an expert does once in a hundred times: chunks that are not exact. Beyond
    BRIDGE_FACTOR * r lies what no expert does: mostly bridges between two modes.
    """
    return (nearest_distance(samples, neighbors) > radius).mean(1)


def _distances(x: Float[np.ndarray, "e n d"], y: Float[np.ndarray, "e k d"]) -> Float[np.ndarray, "e n k"]:
    """Root mean squares over d, one observation at a time to bound the memory."""
    pairs = zip(np.asarray(x, np.float64), np.asarray(y, np.float64), strict=True)
    return np.stack([np.sqrt(((a[:, None] - b) ** 2).sum(-1) / len(a[0])) for a, b in pairs])

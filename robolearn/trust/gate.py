"""When a score of uncertainty stops a policy: a threshold that starts an intervention, a lower one that ends it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from robolearn.trust.conformal.thresholds import exceeds


@dataclass(frozen=True)
class Gate:
    """A threshold with hysteresis on one score."""

    score: str
    """Name of the score."""
    num_samples: int
    """Chunks that every member draws for it at each replanning."""
    threshold: float
    """A score above it starts an intervention."""
    release: float
    """A score at or below it ends one."""

    def __post_init__(self) -> None:
        if not self.release <= self.threshold:
            raise ValueError(f"gate: release {self.release} must be at most the threshold {self.threshold}")

    def intervenes(
        self, scores: Float[np.ndarray, " s"], intervening: Bool[np.ndarray, " s"]
    ) -> Bool[np.ndarray, " s"]:
        """Whether to intervene until the next replanning; NaN scores start an intervention and never end one.

        Args:
            scores: Of the present observations.
            intervening: Whether there has been an intervention until now.
        """
        return exceeds(scores, np.where(intervening, self.release, self.threshold))

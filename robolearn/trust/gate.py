"""When a score of doubt stops a policy: a threshold that starts an intervention, a lower one that ends it.

height = (score - center) / scale      of a band, over the replannings of an episode; or the score itself
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from robolearn.errors import UserError
from robolearn.trust.conformal.bands import CONSTANT, Form
from robolearn.trust.conformal.thresholds import exceeds


@dataclass(frozen=True)
class Gate:
    """A threshold with hysteresis on one score."""

    score: str
    """Name of the score."""
    num_samples: int
    """Chunks that every member draws for it at each replanning."""
    threshold: float
    """A height above it starts an intervention."""
    release: float
    """A height at or below it ends one."""
    form: Form = CONSTANT
    """What heights are measured by, over the replannings of an episode; by default they are the scores."""

    def __post_init__(self) -> None:
        if not self.release <= self.threshold:
            raise UserError(f"gate: release {self.release} must be at most the threshold {self.threshold}")

    def intervenes(
        self,
        scores: Float[np.ndarray, " s"],
        intervening: Bool[np.ndarray, " s"],
        replannings: Int[np.ndarray, " s"],
    ) -> Bool[np.ndarray, " s"]:
        """Whether to intervene until the next replanning; NaN scores start an intervention and never end one.

        Args:
            scores: Of the present observations.
            intervening: Whether there has been an intervention until now.
            replannings: How many there were before in each episode.
        """
        heights = self.form.heights(scores, replannings)
        return exceeds(heights, np.where(intervening, self.release, self.threshold))

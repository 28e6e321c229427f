"""When a score of doubt stops a policy: a threshold that starts an intervention, a lower one that ends it.

A gate is derived from calibration episodes, and never kept: what is kept are the episodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from robolearn.trust.certificate import Certificate, Source, check_episodes, finite_threshold
from robolearn.trust.conformal.misses import calibrate_detector, miss_spread
from robolearn.trust.conformal.thresholds import exceeds, threshold
from robolearn.types import Trajectory

RELEASE_ALPHA = 0.5  # of the successes' largest scores half are above the score at which an intervention ends
CONDITIONS = (
    "initial states are exchangeable with those of calibration: same environment, seeds that were not calibrated on",
    "it speaks of an episode up to its first intervention, also the choice of another chunk: what comes after that is "
    "another controller",
)


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


@dataclass(frozen=True)
class GateCalibration:
    """What was asked for, and the episodes that answer it; seeds, peaks and success have one entry per episode."""

    source: Source
    """What was rolled out."""
    score: str
    """Name of the score."""
    num_samples: int
    """Chunks that every member drew for it at each replanning."""
    alpha: float
    """Largest share of false alarms, in (0, 1)."""
    beta: float | None
    """Largest share of misses, in (0, 1); None where nothing is said of them."""
    seeds: tuple[int, ...]
    """What their environment was reset with."""
    peaks: tuple[float, ...]
    """Largest score of an episode."""
    success: tuple[bool, ...]
    """Whether it succeeded."""

    def __post_init__(self) -> None:
        if not len(self.seeds) == len(self.peaks) == len(self.success):
            raise ValueError(
                f"calibration: {len(self.seeds)} seeds, {len(self.peaks)} peaks and {len(self.success)} successes"
            )
        check_episodes(self.seeds, self.peaks)

    @classmethod
    def of(
        cls,
        trajectories: Sequence[Trajectory],
        source: Source,
        score: str,
        num_samples: int,
        alpha: float,
        beta: float | None = None,
    ) -> GateCalibration:
        """Take what counts from trajectories whose signals hold this score.

        Raises:
            ValueError: A score is NaN.
        """
        return cls(
            source,
            score,
            num_samples,
            alpha,
            beta,
            seeds=tuple(t.seed for t in trajectories),
            peaks=tuple(float(t.signals[score].max()) for t in trajectories),
            success=tuple(bool(t.success) for t in trajectories),
        )

    @property
    def successes(self) -> Float[np.ndarray, " n"]:
        """Largest scores of the successful episodes."""
        return np.array(self.peaks)[np.array(self.success, bool)]

    @property
    def failures(self) -> Float[np.ndarray, " n"]:
        """Largest scores of the others."""
        return np.array(self.peaks)[~np.array(self.success, bool)]

    def derive_gate(self) -> Gate:
        """The gate that alarms in at most alpha of the successful episodes, and misses at most beta of the others.

        Raises:
            ValueError: There are too few successful episodes for a finite threshold, or no threshold keeps both
                promises.
        """
        start = finite_threshold(self.successes, self.alpha, "successful")
        if self.beta is not None:
            reason = calibrate_detector(self.successes, self.failures, self.alpha, self.beta).reason
            if reason:
                raise ValueError(f"no threshold on score {self.score} keeps both promises: {reason}")
        return Gate(self.score, self.num_samples, start, min(start, threshold(self.successes, RELEASE_ALPHA)))

    def certify(self, files: Mapping[str, str]) -> Certificate:
        """Write down what holds of the gate.

        Args:
            files: Name -> sha256 of the files that are kept beside it.

        Raises:
            ValueError: See derive_gate.
        """
        gate = self.derive_gate()
        misses = "failures that go unnoticed may be many"
        if self.beta is not None:
            misses = f"of those that fail, at most {self.beta:g} have none above it"
        claim = (
            f"of the episodes that succeed without interventions, at most {self.alpha:g} have a {gate.score} score "
            f"above {gate.threshold:.6g} at any replanning, over the draw of calibration and new episodes; {misses}"
        )
        execution = (
            f"the checkpoint and the way chunks are executed are those of the hashes, and every member draws "
            f"{self.num_samples} samples"
        )
        spread = None if self.beta is None else miss_spread(len(self.failures), self.beta)
        n = len(self.successes)
        return Certificate.of(claim, (execution, *CONDITIONS), gate.threshold, n, self.alpha, files, spread)

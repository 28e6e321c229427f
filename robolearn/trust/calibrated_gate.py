"""A gate from watched episodes. It is derived from them whenever it is wanted, and kept nowhere else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from robolearn.errors import UserError
from robolearn.trust.certificate import Certificate, Source, check_episodes, finite_threshold
from robolearn.trust.conformal.bands import CONSTANT, Form
from robolearn.trust.conformal.halves import drawn_halves
from robolearn.trust.conformal.misses import calibrate_detector, miss_spread
from robolearn.trust.conformal.thresholds import threshold, too_few
from robolearn.trust.gate import Gate
from robolearn.types import Array, Trajectory

RELEASE_ALPHA = 0.5  # of the successes' largest scores half are above the score at which an intervention ends
CONDITIONS = (
    "initial states are exchangeable with those of calibration: same environment, seeds that were not calibrated on",
    "it speaks of an episode up to its first intervention, also the choice of another chunk: what comes after that is "
    "another controller",
)
# Of two promises, which not every calibration makes.
SELECTED = (
    "a calibration that abstains, as no threshold keeps both promises, counts as one that keeps them: among those that "
    "do not the shares may be larger, up to alpha and beta over the probability that one does not abstain"
)


@dataclass(frozen=True)
class GateCalibration(ABC):
    """What was asked for, and the episodes that answer it; what has an entry per episode is in the order of seeds."""

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
    scores: tuple[Any, ...]
    """What `taken` takes of the scores of each."""
    success: tuple[bool, ...]
    """Whether each succeeded."""

    def __post_init__(self) -> None:
        n = len(self.seeds)
        if not n == len(self.scores) == len(self.success):
            raise UserError(f"calibration: {n} seeds, {len(self.scores)} scores and {len(self.success)} successes")
        if not all(map(np.size, self.scores)):
            raise UserError("calibration: an episode has no score")
        check_episodes(self.seeds, tuple(float(np.max(one)) for one in self.scores))

    @classmethod
    def from_trajectories(
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
            UserError: A score is NaN.
        """
        return cls(
            source,
            score,
            num_samples,
            alpha,
            beta,
            seeds=tuple(t.seed for t in trajectories),
            scores=tuple(cls.taken(t.signals[score]) for t in trajectories),
            success=tuple(bool(t.success) for t in trajectories),
        )

    @staticmethod
    @abstractmethod
    def taken(scores: Array) -> Any:
        """What counts of an episode's scores at its replannings."""

    @property
    @abstractmethod
    def form(self) -> Form:
        """What heights are measured by."""

    @property
    @abstractmethod
    def successes(self) -> Float[np.ndarray, " n"]:
        """Largest heights of the successful episodes that calibrate."""

    @property
    @abstractmethod
    def failures(self) -> Float[np.ndarray, " m"]:
        """Largest heights of the others."""

    def derive_gate(self) -> Gate:
        """The gate that alarms in at most alpha of the successful episodes, and misses at most beta of the others.

        Raises:
            UserError: There are too few successful episodes for a finite threshold, or no threshold keeps both
                promises.
        """
        successes = self.successes
        start = finite_threshold(successes, self.alpha, "successful")
        if self.beta is not None:
            reason = calibrate_detector(successes, self.failures, self.alpha, self.beta).reason
            if reason:
                raise UserError(f"no threshold on score {self.score} keeps both promises: {reason}")
        return Gate(self.score, self.num_samples, start, min(start, threshold(successes, RELEASE_ALPHA)), self.form)

    def certify(self, files: Mapping[str, str]) -> Certificate:
        """Write down what holds of the gate.

        Args:
            files: Name -> sha256 of the files that are kept beside it.

        Raises:
            UserError: See derive_gate.
        """
        gate = self.derive_gate()
        limit = f"{gate.threshold:.6g}"
        if gate.form != CONSTANT:
            limit = f"its band, {limit} times its scale over its center,"
        misses = "failures that go unnoticed may be many"
        if self.beta is not None:
            misses = f"of those that fail, at most {self.beta:g} have none above it"
        claim = (
            f"of the episodes that succeed without interventions, at most {self.alpha:g} have a {gate.score} score "
            f"above {limit} at any replanning, over the draw of calibration and new episodes; {misses}"
        )
        execution = (
            f"the checkpoint and the way chunks are executed are those of the hashes, and every member draws "
            f"{self.num_samples} samples"
        )
        spread = None if self.beta is None else miss_spread(len(self.failures), self.beta)
        conditions = (execution, *CONDITIONS)
        if self.beta is not None:
            conditions += (SELECTED,)
        n = len(self.successes)
        return Certificate.issue(claim, conditions, gate.threshold, n, self.alpha, files, spread)


@dataclass(frozen=True)
class ThresholdCalibration(GateCalibration):
    """Of a threshold that is the same throughout an episode."""

    scores: tuple[float, ...]
    """The largest of each episode."""

    @staticmethod
    def taken(scores: Array) -> float:
        """The largest."""
        return float(scores.max())

    @property
    def form(self) -> Form:
        """Constant."""
        return CONSTANT

    @property
    def successes(self) -> Float[np.ndarray, " n"]:
        """Largest scores of the successful episodes."""
        return np.array(self.scores)[np.array(self.success, bool)]

    @property
    def failures(self) -> Float[np.ndarray, " m"]:
        """Largest scores of the others."""
        return np.array(self.scores)[~np.array(self.success, bool)]


@dataclass(frozen=True)
class BandCalibration(GateCalibration):
    """Of a band: one half of the successful episodes gives its form, the other its height."""

    scores: tuple[tuple[float, ...], ...]
    """Of each episode, at each of its replannings."""

    @staticmethod
    def taken(scores: Array) -> tuple[float, ...]:
        """All."""
        return tuple(scores.tolist())

    @cached_property
    def form(self) -> Form:
        """From one half of the successful episodes."""
        shaping, _ = self._halves()
        if not shaping:
            raise UserError(f"{too_few(0, self.alpha)} (of successful episodes)")
        return Form.fit(shaping, self.alpha)

    @property
    def successes(self) -> Float[np.ndarray, " n"]:
        """Largest heights of the other half of the successful episodes."""
        _, others = self._halves()
        return self._heights(others)

    @property
    def failures(self) -> Float[np.ndarray, " m"]:
        """Largest heights of the others; none of them gave the form."""
        return self._heights(self._scores_of(False))

    def _halves(self) -> tuple[list[tuple[float, ...]], list[tuple[float, ...]]]:
        well = self._scores_of(True)
        shaping, others = drawn_halves(len(well))
        return [well[i] for i in shaping], [well[i] for i in others]

    def _scores_of(self, success: bool) -> list[tuple[float, ...]]:
        return [scores for scores, well in zip(self.scores, self.success, strict=True) if well == success]

    def _heights(self, episodes: Sequence[tuple[float, ...]]) -> Float[np.ndarray, " e"]:
        if not episodes:
            return np.zeros(0)
        steps = np.concatenate([np.arange(len(one)) for one in episodes])
        return np.maximum.reduceat(self.form.heights(np.concatenate(episodes), steps), np.flatnonzero(steps == 0))


CALIBRATIONS: dict[str, type[GateCalibration]] = {"threshold": ThresholdCalibration, "band": BandCalibration}

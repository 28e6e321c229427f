"""What a gate was calibrated on and what may be said of it, in a form that can be checked again.

    calibration episodes -> threshold, a rank statistic of their largest scores -> certificate: claim and hashes

A hash of the checkpoint, of the configuration and of the calibration episodes ties the claim to what it was made of.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from robolearn.safety.conformal import check_scores, rank, threshold, too_few
from robolearn.safety.detector import calibrate_detector
from robolearn.safety.gate import Gate
from robolearn.types import Trajectory

RELEASE_ALPHA = 0.5  # of the successes' largest scores half are above the score at which an intervention ends
CONDITIONS = (
    "the checkpoint and the way chunks are executed are those of the hashes",
    "initial states are exchangeable with those of calibration: same environment, seeds that were not calibrated on",
    "it speaks of an episode up to its first intervention, also the choice of another chunk: what comes after that is "
    "another controller",
)


@dataclass(frozen=True)
class Calibration:
    """Episodes that a gate is calibrated on; every field has one entry per episode."""

    seeds: tuple[int, ...]
    """What their environment was reset with."""
    peaks: tuple[float, ...]
    """Largest score of an episode."""
    success: tuple[bool, ...]
    """Whether it counts: for a gate, whether it succeeded."""

    @classmethod
    def of(cls, trajectories: Sequence[Trajectory], score: str) -> Calibration:
        """Take what counts from trajectories whose signals hold this score.

        Raises:
            ValueError: A score is NaN.
        """
        peaks = np.array([float(t.signals[score].max()) for t in trajectories])
        check_scores(peaks)
        return cls(
            tuple(t.seed for t in trajectories), tuple(peaks.tolist()), tuple(bool(t.success) for t in trajectories)
        )

    @property
    def successes(self) -> Float[np.ndarray, " n"]:
        """Largest scores of the successful episodes."""
        return np.array(self.peaks)[np.array(self.success, bool)]

    @property
    def failures(self) -> Float[np.ndarray, " n"]:
        """Largest scores of the others."""
        return np.array(self.peaks)[~np.array(self.success, bool)]


@dataclass(frozen=True)
class Source:
    """What an episode depends on beside its seed."""

    checkpoint: str
    """Hash of the policy, of every member."""
    env_id: str
    """Environment."""
    configuration: str
    """Hash of its keyword arguments and of the way chunks are sampled and executed."""


@dataclass(frozen=True)
class Certificate:
    """A claim about a gate, and what it rests on."""

    claim: str
    """What holds, in words."""
    conditions: tuple[str, ...]
    """When it holds."""
    alpha: float
    """Largest share of false alarms."""
    beta: float | None
    """Largest share of misses; None where nothing is said of them."""
    num_calibration: int
    """Successful episodes calibrated on."""
    gate: Gate
    """What the claim is about."""
    source: Source
    """What was calibrated."""
    calibration: str
    """Hash of the calibration episodes."""

    def check(self, gate: Gate, calibration: Calibration, source: Source) -> None:
        """Derive the gate again from the calibration episodes, and compare what was hashed with what is there.

        Another configuration of the same environment is let pass: a gate is for that too, but `covers` says no.

        Raises:
            ValueError: Something is not what was certified; the message names it.
        """
        if self.source.env_id != source.env_id:
            raise ValueError(
                f"the gate was calibrated in {self.source.env_id}, not in {source.env_id}; calibrate there"
            )
        for name, one, other in (
            ("checkpoint", self.source.checkpoint, source.checkpoint),
            ("calibration", self.calibration, fingerprint(calibration)),
        ):
            if one != other:
                raise ValueError(f"the certificate is not of this {name}; calibrate again")
        derived = derive_gate(calibration, self.alpha, self.gate.score, self.gate.num_samples, self.beta)
        for name, one in (("gate", gate), ("certificate", self.gate)):
            if one != derived:
                raise ValueError(
                    f"the {name} has threshold {one.threshold:.6g} and release {one.release:.6g}, its calibration "
                    f"episodes give {derived.threshold:.6g} and {derived.release:.6g}; calibrate again"
                )

    def covers(self, source: Source) -> bool:
        """Whether the claim speaks of episodes of this source."""
        return self.source == source


def derive_gate(
    calibration: Calibration, alpha: float, score: str, num_samples: int, beta: float | None = None
) -> Gate:
    """The gate that alarms in at most alpha of the successful episodes, and misses at most beta of the others.

    Raises:
        ValueError: There are too few successful episodes for a finite threshold, or no threshold keeps both promises.
    """
    n = len(calibration.successes)
    if rank(n, alpha) > n:
        raise ValueError(f"{too_few(n, alpha)} (of successful episodes)")
    start = threshold(calibration.successes, alpha)
    if beta is not None and (found := calibrate_detector(calibration.successes, calibration.failures, alpha, beta)):
        if found.threshold is None:
            raise ValueError(f"no threshold on score {score} keeps both promises: {found.reason}")
        start = found.threshold
    return Gate(score, num_samples, start, min(start, threshold(calibration.successes, RELEASE_ALPHA)))


def gate_claim(gate: Gate, alpha: float, beta: float | None = None) -> str:
    """What a gate on a score promises."""
    misses = "failures that go unnoticed may be many"
    if beta is not None:
        misses = f"of those that fail, at most {beta:g} have none above it"
    return (
        f"of the episodes that succeed without interventions, at most {alpha:g} have a {gate.score} score above "
        f"{gate.threshold:.6g} at any replanning, over the draw of calibration and new episodes; {misses}"
    )


def certify(
    gate: Gate, calibration: Calibration, alpha: float, source: Source, claim: str, beta: float | None = None
) -> Certificate:
    """Write down what holds of a derived gate."""
    return Certificate(
        claim=claim,
        conditions=CONDITIONS,
        alpha=alpha,
        beta=beta,
        num_calibration=len(calibration.successes),
        gate=gate,
        source=source,
        calibration=fingerprint(calibration),
    )


def fingerprint(calibration: Calibration) -> str:
    """Hash of calibration episodes."""
    return hash_json([calibration.seeds, calibration.peaks, calibration.success])


def hash_json(value: Any) -> str:
    """sha256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()

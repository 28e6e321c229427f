"""What a threshold was calibrated on and what may be said of it, in a form that can be checked again.

    calibration episodes -> threshold, a rank statistic of their largest scores -> certificate: claim and hashes

A certificate is a function of the calibration, of what was rolled out and of the files beside it. Whoever opens one
derives it again and compares: none of its words and numbers is believed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from robolearn.trust.conformal.misses import calibrate_detector, miss_spread
from robolearn.trust.conformal.thresholds import exceeding_spread, rank, threshold, too_few
from robolearn.trust.gate import Gate
from robolearn.types import Trajectory

RELEASE_ALPHA = 0.5  # of the successes' largest scores half are above the score at which an intervention ends
POLICY = "the policy"  # what chooses chunks, where no safety set does
GATE_CONDITIONS = (
    "the checkpoint and the way chunks are executed are those of the hashes",
    "initial states are exchangeable with those of calibration: same environment, seeds that were not calibrated on",
    "it speaks of an episode up to its first intervention, also the choice of another chunk: what comes after that is "
    "another controller",
)


@dataclass(frozen=True)
class Source:
    """What an episode depends on beside its seed."""

    checkpoint: str
    """Hash of the policies, of every member's weights and configuration."""
    env_id: str
    """Environment."""
    configuration: str
    """Hash of its keyword arguments and of the way chunks are sampled and executed."""
    chosen_by: str = POLICY
    """What chooses among the chunks: `POLICY`, or a safety set, by its hash and by what is done where none fits."""


@dataclass(frozen=True)
class Calibration:
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
    """Whether it counts: for a gate, whether it succeeded."""

    def __post_init__(self) -> None:
        if not len(self.seeds) == len(self.peaks) == len(self.success):
            raise ValueError(
                f"calibration: {len(self.seeds)} seeds, {len(self.peaks)} peaks and {len(self.success)} successes"
            )
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("calibration: an episode is there twice")
        lost = sum(map(math.isnan, self.peaks))
        if lost:
            raise ValueError(f"{lost} of {len(self.peaks)} calibration scores are NaN")

    @classmethod
    def of(
        cls,
        trajectories: Sequence[Trajectory],
        source: Source,
        score: str,
        num_samples: int,
        alpha: float,
        beta: float | None = None,
    ) -> Calibration:
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


@dataclass(frozen=True)
class Certificate:
    """A claim about a gate or a safety set, and what it rests on."""

    claim: str
    """What holds, in words."""
    conditions: tuple[str, ...]
    """When it holds."""
    alpha: float
    """Largest share of false alarms; of a safety set, of episodes that leave a tube."""
    spread: tuple[float, float]
    """Within which that share lies in 95 of 100 calibrations like this one; see `exceeding_spread`."""
    beta: float | None
    """Largest share of misses; None where nothing is said of them."""
    miss_spread: tuple[float, float] | None
    """The same of that share, or above it; see `miss_spread`."""
    num_calibration: int
    """Episodes that gave the threshold: of a gate, the successful ones."""
    gate: Gate
    """The threshold that the claim is about."""
    source: Source
    """What was calibrated."""
    files: dict[str, str]
    """Name -> sha256 of every file beside it."""

    def check(self, derived: Certificate, source: Source, where: str = "") -> None:
        """Compare with what its own files give, and with what it is to be used on.

        Another configuration of the same environment is let pass: a gate is for that too, but `gap` names it.

        Args:
            derived: Made again from the files.
            source: How it is to be used.
            where: What it is, for messages.

        Raises:
            ValueError: Something is not what was certified; the message names it.
        """
        place = f"{where}: " if where else ""
        if self.source.env_id != source.env_id:
            raise ValueError(f"{place}calibrated in {self.source.env_id}, not in {source.env_id}; calibrate there")
        if self.source.checkpoint != source.checkpoint:
            raise ValueError(f"{place}the certificate is not of this checkpoint; calibrate again")
        for field in dataclasses.fields(self):
            said, found = getattr(self, field.name), getattr(derived, field.name)
            if said != found:
                raise ValueError(
                    f"{place}the certificate says {field.name} {said}, its files give {found}; calibrate again"
                )

    def gap(self, source: Source) -> str:
        """Why the claim does not speak of episodes of this source, in words; empty where it does."""
        if self.source.configuration != source.configuration:
            return "calibrated on another environment or execution"
        if self.source.chosen_by != source.chosen_by:
            return f"calibrated on episodes in which {self.source.chosen_by} chose the chunks, not {source.chosen_by}"
        return "" if self.source == source else "calibrated on something else"


def derive_gate(calibration: Calibration) -> Gate:
    """The gate that alarms in at most alpha of the successful episodes, and misses at most beta of the others.

    Raises:
        ValueError: There are too few successful episodes for a finite threshold, or no threshold keeps both promises.
    """
    alpha, beta, n = calibration.alpha, calibration.beta, len(calibration.successes)
    if rank(n, alpha) > n:
        raise ValueError(f"{too_few(n, alpha)} (of successful episodes)")
    start = threshold(calibration.successes, alpha)
    if math.isinf(start):
        lost = int(np.isinf(calibration.successes).sum())
        raise ValueError(f"{lost} of {n} calibration scores are infinite: no finite threshold keeps alpha {alpha}")
    if (
        beta is not None
        and (found := calibrate_detector(calibration.successes, calibration.failures, alpha, beta)).reason
    ):
        raise ValueError(f"no threshold on score {calibration.score} keeps both promises: {found.reason}")
    release = min(start, threshold(calibration.successes, RELEASE_ALPHA))
    return Gate(calibration.score, calibration.num_samples, start, release)


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
    calibration: Calibration,
    files: Mapping[str, str],
    claim: str | None = None,
    conditions: tuple[str, ...] = GATE_CONDITIONS,
) -> Certificate:
    """Write down what holds of the threshold that a calibration gives.

    Args:
        calibration: What it rests on.
        files: Name -> sha256 of the files that are kept beside it.
        claim: In words; by default that of a gate.
        conditions: When it holds.

    Raises:
        ValueError: See derive_gate.
    """
    gate, alpha, beta = derive_gate(calibration), calibration.alpha, calibration.beta
    return Certificate(
        claim=claim or gate_claim(gate, alpha, beta),
        conditions=conditions,
        alpha=alpha,
        spread=exceeding_spread(len(calibration.successes), alpha),
        beta=beta,
        miss_spread=None if beta is None else miss_spread(len(calibration.failures), beta),
        num_calibration=len(calibration.successes),
        gate=gate,
        source=calibration.source,
        files=dict(files),
    )


def hash_json(value: Any) -> str:
    """sha256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()

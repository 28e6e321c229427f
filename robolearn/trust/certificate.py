"""What a calibration is of, and what may be said of it, in a form that can be checked again.

    calibration episodes -> threshold, a rank statistic of their largest scores -> certificate: claim and hashes

A certificate is a function of the calibration, of what was rolled out and of the files beside it. Whoever opens one
derives it again and compares: none of its words and numbers is believed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from robolearn.errors import UserError
from robolearn.trust.conformal.thresholds import exceeding_spread, threshold, threshold_rank, too_few

VERSION = 3
"""Of the files of a calibration.

1 kept the gate beside what it is derived from, and what was asked twice. 2 left out episodes that began where an
earlier one had, so that its promise was about starts that are drawn evenly; it parted them by the order of seeds.
"""
POLICY = "the policy"  # what chooses chunks, where no safety set does


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

    def check(self, used: Source, where: str = "") -> None:
        """Refuse to use what was calibrated on this source elsewhere.

        Another configuration of the same environment is let pass: a gate is for that too, but `gap` names it.

        Args:
            used: How it is to be used.
            where: What it is, for messages.

        Raises:
            UserError: In another environment, or with another checkpoint.
        """
        prefix = f"{where}: " if where else ""
        if self.env_id != used.env_id:
            raise UserError(f"{prefix}calibrated in {self.env_id}, not in {used.env_id}; calibrate there")
        if self.checkpoint != used.checkpoint:
            raise UserError(f"{prefix}the certificate is not of this checkpoint; calibrate again")

    def gap(self, used: Source) -> str:
        """Why a claim about this source does not speak of episodes of another, in words; empty where it does."""
        if self.configuration != used.configuration:
            return "calibrated on another environment or execution"
        if self.chosen_by != used.chosen_by:
            return f"calibrated on episodes in which {self.chosen_by} chose the chunks, not {used.chosen_by}"
        return "" if self == used else "calibrated on something else"


@dataclass(frozen=True)
class Certificate:
    """A claim about a gate or a safety set, and the files that it follows from."""

    version: int
    """VERSION."""
    claim: str
    """What holds, in words."""
    conditions: tuple[str, ...]
    """When it holds."""
    threshold: float
    """That the claim is about: of a score, or of an error in units of a tube's form."""
    spread: tuple[float, float]
    """Within which the share that alpha bounds lies in 95 of 100 calibrations like this one; see `exceeding_spread`."""
    miss_spread: tuple[float, float] | None
    """The same of the share of misses, or above it; see `miss_spread`. None where nothing is said of them."""
    num_calibration: int
    """Episodes that gave the threshold: of a gate, the successful ones."""
    files: dict[str, str]
    """Name -> sha256 of every file beside it."""

    @classmethod
    def issue(
        cls,
        claim: str,
        conditions: tuple[str, ...],
        limit: float,
        n: int,
        alpha: float,
        files: Mapping[str, str],
        misses: tuple[float, float] | None = None,
    ) -> Certificate:
        """Certify a threshold from n scores at alpha."""
        return cls(VERSION, claim, conditions, limit, exceeding_spread(n, alpha), misses, n, dict(files))

    def check(self, derived: Certificate, where: str = "") -> None:
        """Compare with what its own files give.

        Args:
            derived: Made again from the files.
            where: What it is, for messages.

        Raises:
            UserError: Something is not what was certified; the message names it.
        """
        prefix = f"{where}: " if where else ""
        for field in dataclasses.fields(self):
            said, expected = getattr(self, field.name), getattr(derived, field.name)
            if said != expected:
                raise UserError(
                    f"{prefix}the certificate says {field.name} {said}, its files give {expected}; calibrate again"
                )


def finite_threshold(scores: Float[np.ndarray, " n"], alpha: float, kind: str = "") -> float:
    """The `threshold` of calibration scores.

    Args:
        scores: One per episode.
        alpha: In (0, 1).
        kind: Which episodes they are of, for the message.

    Raises:
        UserError: There are too few of them, or too many are infinite, for a finite one.
    """
    n = len(scores)
    if threshold_rank(n, alpha) > n:
        raise UserError(f"{too_few(n, alpha)}{kind and f' (of {kind} episodes)'}")
    quantile = threshold(scores, alpha)
    if math.isinf(quantile):
        lost = int(np.isinf(scores).sum())
        raise UserError(f"{lost} of {n} calibration scores are infinite: no finite threshold keeps alpha {alpha}")
    return quantile


def check_episodes(seeds: tuple[int, ...], peaks: tuple[float, ...]) -> None:
    """Raise a UserError where an episode stands twice, or its largest score is NaN."""
    if len(set(seeds)) < len(seeds):
        raise UserError("calibration: an episode is there twice")
    lost = sum(map(math.isnan, peaks))
    if lost:
        raise UserError(f"{lost} of {len(peaks)} calibration scores are NaN")


def hash_json(value: Any) -> str:
    """sha256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()

"""What is proved of networks and of policies; nothing here imports torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from robolearn import seeds
from robolearn.errors import UserError
from robolearn.evaluation.config import Sampling
from robolearn.files import take_paths


@dataclass(frozen=True)
class VerifyConfig:
    """How long a property of a network is searched."""

    timeout: float = 60.0
    """Seconds of the search, without reading the files."""
    precision: Literal["float32", "exact"] = "float32"
    """float32: what is proved holds for all that float32 arithmetic may make of the network, in any order of its sums;
    exact: for the network in real numbers."""
    seed: int = seeds.FIXED
    """Of the random points that the attack starts from."""
    threads: int | None = 1
    """CPU threads; None takes one per two cores, at most 4."""

    def __post_init__(self) -> None:
        if not 0 < self.timeout < math.inf:
            raise UserError(f"`timeout` {self.timeout} must be a number of seconds above 0")
        if self.seed < 0:
            raise UserError(f"`seed` {self.seed} must not be negative")


@dataclass(frozen=True)
class ClaimConfig(Sampling):
    """What is claimed of a policy, and for which boxes around its held-out observations."""

    claim: Literal["limits", "robustness", "clearance", "codes"] = "limits"
    """limits: executed actions stay within limits; robustness: a sensor error moves them by at most delta; clearance:
    none is a position in the task's keep-out set; codes: the codes whose actions are not proved to be within limits (or
    clear, with --clearance-of-codes) are drawn with at most --probability."""
    eps: float = 0.01
    """Half a side of a box, as a share of the range that each observed number has in the demonstrations."""
    delta: float = 0.01
    """Of robustness: most that an action may move, as a share of its range in the demonstrations."""
    low: tuple[float, ...] | None = None
    """Of limits: the least numbers of an action; by default the action space of the run's environment."""
    high: tuple[float, ...] | None = None
    """Of limits: the greatest ones."""
    least_clearance: float = 0.0
    """Of clearance: the distance that is kept [m]."""
    clearance_of_codes: bool = False
    """Of codes: actions are safe where they keep clear, instead of within limits."""
    probability: float = 0.0
    """Of codes: the share of unsafe codes that is allowed, in [0, 1)."""
    noise_share: float = 0.95
    """Of families that take noise: probability of the box of noise that the claim is for, in (0, 1)."""
    observations: int = 50
    """Held-out observations, spread evenly over the held-out episodes; 0 for all."""
    seconds: float = 10.0
    """For each observation that the first bounds do not decide."""
    precision: Literal["float32", "exact"] = "float32"
    """float32: proved of all that float32 arithmetic may make of the network; exact: of the network in real numbers."""
    threads: int | None = 1
    """CPU threads; None takes one per two cores, at most 4."""
    out: Path | str | None = None
    """Certificate; by default RUN/claims/CLAIM.json."""

    def __post_init__(self) -> None:
        take_paths(self, "out")
        for name, least in (("eps", self.eps), ("delta", self.delta), ("seconds", self.seconds)):
            if not 0 <= least < math.inf:
                raise UserError(f"`{name}` {least} must be a number that is not negative")
        if not 0 < self.noise_share < 1 or not 0 <= self.probability < 1:
            raise UserError(
                f"`noise_share` {self.noise_share} must be in (0, 1), `probability` {self.probability} in [0, 1)"
            )
        if not math.isfinite(self.least_clearance):
            raise UserError(f"`least_clearance` {self.least_clearance} must be a finite number")
        if self.observations < 0:
            raise UserError(f"`observations` {self.observations} must not be negative; 0 stands for all")
        if (self.low is None) != (self.high is None):
            raise UserError("`low` and `high` go together")

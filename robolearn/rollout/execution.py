"""How chunks become actions: every choice that is made at run time, and the selection among candidates."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from robolearn.errors import UserError


@dataclass(frozen=True)
class Execution:
    """How chunks are executed."""

    exec_horizon: int | None = None
    """Actions executed before replanning; by default as configured in training."""
    ensembling: float | None = None
    """Temporal ensembling with this decay, replanning at every step; it averages over modes. Off by default."""
    candidates: int = 1
    """Chunks drawn at each replanning in one batch; the nearest to the rest of the previous chunk is executed."""
    keep_noise: bool = False
    """Draw the noise of an episode once and keep it, so that a family whose noise picks the mode stays with it."""
    delay: int = 0
    """Control steps that planning takes, simulated: a chunk takes effect so many steps after its observation."""

    def with_defaults(self, exec_horizon: int) -> Execution:
        """These choices, with ``exec_horizon`` where they name none."""
        return replace(self, exec_horizon=exec_horizon) if self.exec_horizon is None else self

    @property
    def period(self) -> int:
        """Actions executed from one planning to the next."""
        assert self.exec_horizon is not None, "with_defaults() supplies it"
        return self.exec_horizon if self.ensembling is None else 1

    def check(self, action_horizon: int, prefix_horizon: int) -> None:
        """Raise a UserError unless a policy with these horizons can be executed like this."""
        assert self.exec_horizon is not None, "with_defaults() supplies it"
        if not 1 <= self.exec_horizon <= action_horizon:
            raise UserError(
                f"exec_horizon {self.exec_horizon} must be in 1..{action_horizon}, the policy's action_horizon"
            )
        if self.ensembling is not None and self.ensembling < 0:
            raise UserError(f"ensembling {self.ensembling} must not be negative")
        if self.ensembling is not None and not math.isfinite(self.ensembling):
            raise UserError(f"ensembling {self.ensembling} must be a finite number")
        if self.candidates < 1:
            raise UserError(f"candidates {self.candidates} must be at least 1")
        if not 0 <= self.delay <= action_horizon - self.period:
            raise UserError(
                f"delay {self.delay} must be in 0..{action_horizon - self.period}: "
                f"a chunk of {action_horizon} actions has to last until the next one takes effect"
            )
        if self.candidates > 1 and self.ensembling is not None:
            raise UserError("candidates and ensembling exclude each other: one chooses a chunk, the other averages")
        if self.candidates > 1 and self.period == action_horizon:
            raise UserError(f"candidates need exec_horizon below {action_horizon}: no rest is left to compare with")
        if 0 < prefix_horizon < self.delay:
            raise UserError(f"delay {self.delay} must be in 0..{prefix_horizon}, the policy's prefix_horizon")


def most_coherent(candidates: Float[np.ndarray, "n k t a"], rest: Float[np.ndarray, "n r a"]) -> Int[np.ndarray, " n"]:
    """Index of the candidate with the least mean squared distance to what is left of the previous chunk.

    This is the backward coherence of Bidirectional Decoding (Liu et al. 2024, arXiv:2408.17355) without its decay.

    Args:
        candidates: k chunks per environment, normalized, so that every dimension counts alike.
        rest: The previous chunk from now on, r <= t steps.
    """
    gap = candidates[:, :, : rest.shape[1]] - rest[:, None]
    return np.square(gap).reshape(*gap.shape[:2], -1).mean(2).argmin(1)

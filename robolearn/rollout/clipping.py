"""Actions beyond what an environment declares that it takes: which they are, and what is said of them.

A rollout clips them to the declared space, as a robot's driver would. Some environments declare less than they take:
gym-aloha says -1 .. 1 [rad], and its elbows go to 1.2. Its policies then never bend them, and nothing tells of it but
the share of the steps that were clipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from robolearn.types import Array, Trajectory

SLACK, ROUNDING = 1e-4, 1e-6  # of a range, and of its ends: by which an action may leave it
SHOWN = 6  # dimensions that a sentence names


@dataclass(frozen=True)
class Clipped:
    """How much of what was executed was clipped, beyond rounding.

    Attributes:
        steps: Share of the steps in which a number of the action was, in [0, 1].
        numbers: Share of the numbers of all actions, in [0, 1].
        dims: The dimensions of the action that were, those most often clipped first.
    """

    steps: float = 0.0
    numbers: float = 0.0
    dims: tuple[int, ...] = ()

    @classmethod
    def from_trajectories(cls, trajectories: Sequence[Trajectory]) -> Clipped:
        """Of all steps of these episodes together."""
        rows = [t.clipped for t in trajectories if t.clipped.any()]
        steps, numbers = sum(map(len, trajectories)), sum(t.actions.size for t in trajectories)
        if not rows:
            return cls()
        counts = np.sum([one.sum(0) for one in rows], axis=0)
        dims = tuple(int(dim) for dim in np.argsort(-counts, kind="stable") if counts[dim])
        return cls(sum(int(one.any(1).sum()) for one in rows) / steps, int(counts.sum()) / numbers, dims)


def beyond(actions: Float[Array, "t a"], space: Any) -> Bool[Array, "t a"]:
    """Which numbers of actions lie outside of a Box, by more than rounding."""
    low, high = space.low.ravel().astype(np.float64), space.high.ravel().astype(np.float64)
    ends = [np.where(np.isfinite(end), np.abs(end), 0.0) for end in (low, high)]
    width = np.where(np.isfinite(high - low), high - low, 1.0)
    slack = np.maximum(SLACK * width, ROUNDING * np.maximum(*ends))
    return (actions < low - slack) | (actions > high + slack)


def named(dims: Sequence[int]) -> str:
    """Dimensions of the action for a sentence, the first few of many."""
    more = f" and {len(dims) - SHOWN} more" if len(dims) > SHOWN else ""
    return f"action[{', '.join(map(str, dims[:SHOWN]))}]{more}"

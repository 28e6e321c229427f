"""What a gate did in a set of episodes, each number with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from robolearn.starts import effective_starts
from robolearn.stats.proportions import clopper_pearson
from robolearn.stats.value import Estimate
from robolearn.types import INTERVENING, Trajectory


@dataclass(frozen=True)
class Promise:
    """A bound on a share, over the draw of calibrations.

    Attributes:
        alpha: The bound.
        low: Within `low` and `high` the share lies in 95 of 100 calibrations; with ties it may lie lower.
        high: See low.
    """

    alpha: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"promised {self.alpha:g} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class TubeSummary:
    """How the tubes of a safety set held.

    Attributes:
        left: Episodes that left the tube of one of their executed chunks.
        promise: Bound on that share.
    """

    left: Estimate
    promise: Promise


@dataclass(frozen=True)
class BudgetPoint:
    """What comes of a limit to interventions.

    Attributes:
        budget: Most steps of an episode under intervention.
        success: Episodes that succeed.
        intervened: Share of all steps under intervention, in [0, 1].
    """

    budget: int
    success: Estimate
    intervened: float


@dataclass(frozen=True)
class GateSummary:
    """A gate at work.

    Attributes:
        score: Name of the score it looks at; None where only a safety set decides.
        threshold: Above it an intervention starts; of a band in units of its scale.
        band: The score above which one starts, at each replanning and at the last one's from then on; empty where that
            is the threshold throughout.
        promise: Bound on the alarms of successful episodes; None where only a safety set decides.
        safety_set: Whether an intervention also starts where no chunk is admissible.
        tube: How its tubes held; None without one.
        fallback: What is done then.
        covered: Whether every certificate speaks of these episodes.
        alarmed: Episodes with an alarm.
        alarmed_successes: Of the successful episodes; what the promise is about, where nothing was done on an alarm.
        alarmed_failures: Of the failed episodes.
        intervened: Share of all steps under intervention, in [0, 1].
        period: Steps from one replanning to the next.
        budgets: The same episodes with limits, where that was asked for.
    """

    score: str | None
    threshold: float
    band: tuple[float, ...]
    promise: Promise | None
    safety_set: bool
    tube: TubeSummary | None
    fallback: str
    covered: bool
    alarmed: Estimate
    alarmed_successes: Estimate
    alarmed_failures: Estimate
    intervened: float
    period: int
    budgets: tuple[BudgetPoint, ...] = ()

    @property
    def reason(self) -> str:
        """Why interventions start, in words."""
        limit = "its band" if self.band else f"{self.threshold:.3g}"
        reasons = [f"{self.score} > {limit}"] if self.score is not None else []
        return " or ".join([*reasons, "nothing admissible"] if self.safety_set else reasons)


def budget_point(budget: int, trajectories: Sequence[Trajectory], period: int) -> BudgetPoint:
    """Success and interventions of episodes with a limit."""
    success = share_of(trajectories, np.array([bool(t.success) for t in trajectories], bool))
    return BudgetPoint(budget, success, intervened_share(trajectories, period))


def count_alarms(trajectories: Sequence[Trajectory]) -> tuple[Estimate, Estimate, Estimate]:
    """Episodes with an alarm: of all, of the successful ones, of the failed ones."""
    alarmed = np.array([bool(t.signals[INTERVENING].any()) for t in trajectories])
    success = np.array([bool(t.success) for t in trajectories])
    parts = (np.ones_like(success), success, ~success)
    one, two, three = (
        share_of([t for t, taken in zip(trajectories, part, strict=True) if taken], alarmed[part]) for part in parts
    )
    return one, two, three


def share_of(trajectories: Sequence[Trajectory], hits: Bool[np.ndarray, " n"]) -> Estimate:
    """Share of the episodes that are hits, with its exact interval over their distinct starts."""
    return clopper_pearson(int(hits.sum()), len(trajectories), effective_starts(trajectories))


def intervened_share(trajectories: Sequence[Trajectory], period: int) -> float:
    """Share of all steps under intervention, in [0, 1], of episodes that replanned every ``period`` steps."""
    steps = sum(int(np.repeat(t.signals[INTERVENING], period)[: len(t)].sum()) for t in trajectories)
    return steps / max(sum(map(len, trajectories)), 1)

"""What a set of rolled-out episodes shows: numbers, each with the interval that its sample size allows.

`summarize` turns trajectories into one record. Episodes are the independent draws; every interval is over
episodes, never over steps.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from robolearn.rollout.intervals import (
    bootstrap_interval,
    mode_entropy,
    mode_entropy_interval,
    wilson_interval,
    wilson_share,
)
from robolearn.types import Trajectory


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval.

    Attributes:
        value: The point estimate.
        low: Lower end; -inf where one episode tells nothing about the spread.
        high: Upper end; inf likewise.
        n: Number of episodes behind it.
    """

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Summary:
    """The result of an evaluation.

    Attributes:
        num_episodes: Episodes rolled out, failed and unstable ones included.
        success: Share of successful episodes, Wilson interval.
        max_score: Mean over episodes of the best score along the way, in [0, 1].
        final_score: Mean over episodes of the score after the last step, in [0, 1].
        length: Mean number of steps.
        smoothness: Mean RMS jerk of the actions, in action units / s^3; None when no episode has 4 of them.
        modes: Mode -> number of successful episodes that took it; None where the task has no modes.
        mode_entropy: Normalised entropy of `modes`; None without modes, their number or a success.
        num_modes: How many modes the task has, where that is known.
        modes_seen: How many of them a successful episode took.
        reasons: Why episodes ended -> how many, most frequent first.
    """

    num_episodes: int
    success: Estimate
    max_score: Estimate
    final_score: Estimate
    length: Estimate
    smoothness: Estimate | None
    modes: dict[int, int] | None
    mode_entropy: Estimate | None
    num_modes: int | None
    modes_seen: int
    reasons: dict[str, int]


def smoothness(actions: Float[np.ndarray, "t a"], control_dt: float) -> float:
    """RMS jerk of an action sequence, in action units / s^3; smaller is smoother, 0 is constant acceleration.

    sqrt(mean_t |a_{t+3} - 3 a_{t+2} + 3 a_{t+1} - a_t|^2) / control_dt^3. Read it beside another policy on
    the same task: it depends on the unit of the actions and, being a mean over time, not on the length.
    Actions are taken as positions; a jump where one chunk replaces another shows.

    Raises:
        ValueError: For fewer than 4 actions or control_dt <= 0.
    """
    if len(actions) < 4:
        raise ValueError(f"jerk needs at least 4 actions, got {len(actions)}")
    if control_dt <= 0:
        raise ValueError(f"control_dt must be positive, got {control_dt}")
    third = np.diff(np.asarray(actions, np.float64), n=3, axis=0)
    return math.sqrt((third**2).sum(-1).mean()) / control_dt**3


def summarize(trajectories: list[Trajectory], *, num_modes: int | None, control_dt: float) -> Summary:
    """Summarise an evaluation; mode statistics are over successful episodes with a defined mode.

    Args:
        trajectories: At least one.
        num_modes: Modes that the task has; 0 or None where it has none or their number is unknown.
        control_dt: Seconds per action.

    Raises:
        ValueError: Without trajectories, or for a mode outside 0..num_modes - 1.
    """
    if not trajectories:
        raise ValueError("an evaluation needs at least one trajectory, got none")
    n, num_modes = len(trajectories), num_modes or None
    successes = sum(t.success for t in trajectories)
    jerk = [smoothness(t.actions, control_dt) for t in trajectories if len(t) >= 4]
    modes = np.array([t.mode for t in trajectories if t.success and t.mode >= 0], np.int64)
    has_modes = num_modes is not None or any(t.mode >= 0 for t in trajectories)
    histogram = {int(m): int(c) for m, c in zip(*np.unique(modes, return_counts=True), strict=True)}
    return Summary(
        num_episodes=n,
        success=Estimate(successes / n, *wilson_interval(successes, n), n),
        max_score=_mean_score([t.max_score for t in trajectories]),
        final_score=_mean_score([t.final_score for t in trajectories]),
        length=_mean([float(len(t)) for t in trajectories]),
        smoothness=_mean(jerk) if jerk else None,
        modes=histogram if has_modes else None,
        mode_entropy=_mode_estimate(modes, num_modes) if num_modes is not None and len(modes) else None,
        num_modes=num_modes,
        modes_seen=len(histogram),
        reasons=dict(Counter(t.reason for t in trajectories).most_common()),
    )


def _mode_estimate(modes: Int[np.ndarray, " n"], num_modes: int) -> Estimate:
    return Estimate(mode_entropy(modes, num_modes), *mode_entropy_interval(modes, num_modes), len(modes))


def _mean(values: list[float]) -> Estimate:
    array = np.array(values)
    low, high = bootstrap_interval(array, lambda x: x.mean(-1))
    return Estimate(float(array.mean()), low, high, len(values))


def _mean_score(values: list[float]) -> Estimate:
    """Mean of numbers in [0, 1], also where all are equal.

    Equal ones have nothing to resample, so they get Wilson's interval of that share. It is conservative:
    no distribution on [0, 1] has a larger variance for its mean than the two-valued one.
    """
    estimate = _mean(values)
    if len(set(values)) > 1 or not 0 <= estimate.value <= 1:
        return estimate
    return Estimate(estimate.value, *wilson_share(estimate.value, len(values)), len(values))

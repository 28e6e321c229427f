"""What a set of rolled-out episodes shows: numbers, each with the interval that its sample size allows.

`summarize` turns trajectories into one record. Starts are the independent draws; every interval is over
starts, which are as many as episodes where each begins anew, and never over steps.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from robolearn.errors import UserError
from robolearn.rollout.clipping import Clipped
from robolearn.starts import effective_starts, groups_of, judged, num_starts
from robolearn.stats.bootstrap import clustered_mean
from robolearn.stats.entropy import mode_entropy_estimate
from robolearn.stats.proportions import wilson_share
from robolearn.stats.value import Estimate
from robolearn.types import Trajectory

ROUNDING = 1e-6  # by which a score may leave [0, 1]


@dataclass(frozen=True)
class Summary:
    """The result of an evaluation.

    Attributes:
        num_episodes: Episodes rolled out, failed, unstable and broken ones included.
        num_broken: Those in which the environment failed; all that follows but the reasons is of the others.
        num_starts: Distinct starts among the others; intervals are over these.
        success: Share of successful episodes, Wilson interval; None where the environment never told of success.
        max_score: Mean over episodes of the best score along the way, in [0, 1]; None where what stands for a score, as
            the reward does, ever left [0, 1].
        final_score: Mean over episodes of the score after the last step, in [0, 1]; None likewise.
        episode_return: Mean over episodes of the sum of their rewards.
        normalized_return: The same with 0 and 1 at the two returns that it is measured by; None without these.
        length: Mean number of steps.
        smoothness: Mean RMS jerk of the actions, in action units / s^3; None when no episode has 4 of them.
        modes: Mode -> number of successful episodes that took it; None where the task has no modes.
        mode_entropy: Normalized entropy of `modes`; None without modes, their number or a success.
        num_modes: How many modes the task has, where that is known.
        modes_seen: How many of them a successful episode took.
        reasons: Why episodes ended -> how many, most frequent first.
        clipped: How much of what was executed was clipped to the declared action space.
    """

    num_episodes: int
    num_broken: int
    num_starts: int
    success: Estimate | None
    max_score: Estimate | None
    final_score: Estimate | None
    episode_return: Estimate
    normalized_return: Estimate | None
    length: Estimate
    smoothness: Estimate | None
    modes: dict[int, int] | None
    mode_entropy: Estimate | None
    num_modes: int | None
    modes_seen: int
    reasons: dict[str, int]
    clipped: Clipped


def smoothness(actions: Float[np.ndarray, "t a"], control_dt: float) -> float:
    """RMS jerk of an action sequence, in action units / s^3; smaller is smoother, 0 is constant acceleration.

    sqrt(mean_t |a_{t+3} - 3 a_{t+2} + 3 a_{t+1} - a_t|^2) / control_dt^3. Read it beside another policy on
    the same task: it depends on the unit of the actions and, being a mean over time, not on the length.
    Actions are taken as positions; a jump where one chunk replaces another shows.

    Raises:
        UserError: For fewer than 4 actions or control_dt <= 0.
    """
    if len(actions) < 4:
        raise UserError(f"jerk needs at least 4 actions, got {len(actions)}")
    if control_dt <= 0:
        raise UserError(f"control_dt must be positive, got {control_dt}")
    third = np.diff(np.asarray(actions, np.float64), n=3, axis=0)
    return math.sqrt((third**2).sum(-1).mean()) / control_dt**3


def summarize(
    trajectories: list[Trajectory],
    *,
    num_modes: int | None,
    control_dt: float,
    return_range: tuple[float, float] | None = None,
) -> Summary:
    """Summarize an evaluation; mode statistics are over successful episodes with a defined mode.

    Args:
        trajectories: At least one that is not broken.
        num_modes: Modes that the task has; 0 or None where they are none or unknown.
        control_dt: Seconds per action.
        return_range: Returns that the normalized return calls 0 and 1, such as those of chance and of an expert.

    Raises:
        UserError: Without trajectories, if all are broken, or for a mode outside 0..num_modes - 1.
    """
    counted = _counted(trajectories)
    num_modes, long = num_modes or None, [t for t in counted if len(t) >= 4]
    known = [t for t in counted if t.success and t.mode >= 0]
    has_modes = num_modes is not None or any(t.mode >= 0 for t in counted)
    histogram = dict(sorted(Counter(t.mode for t in known).items()))
    return Summary(
        num_episodes=len(trajectories),
        num_broken=len(trajectories) - len(counted),
        num_starts=num_starts(counted),
        success=_success(counted),
        **_scores(counted),
        episode_return=_returns(counted),
        normalized_return=None if return_range is None else _normalized(_returns(counted), *return_range),
        length=_mean(counted, lambda t: float(len(t))),
        smoothness=_mean(long, lambda t: smoothness(t.actions, control_dt)) if long else None,
        modes=histogram if has_modes else None,
        mode_entropy=_mode_estimate(known, num_modes) if num_modes is not None and known else None,
        num_modes=num_modes,
        modes_seen=len(histogram),
        reasons=dict(Counter(t.reason for t in trajectories).most_common()),
        clipped=Clipped.from_trajectories(counted),
    )


def _counted(trajectories: list[Trajectory]) -> list[Trajectory]:
    if not trajectories:
        raise UserError("an evaluation needs at least one trajectory, got none")
    counted = judged(trajectories)
    if not counted:
        raise UserError(f"no episode counts: all {len(trajectories)} are broken, the first: {trajectories[0].reason}")
    return counted


def has_scores(trajectories: Sequence[Trajectory]) -> bool:
    """Whether what stands for a score is one: it lies in [0, 1] at every step, rounding aside."""
    return are_scores(np.concatenate([np.zeros(1), *(t.scores for t in trajectories)]))


def are_scores(scores: Float[np.ndarray, " t"]) -> bool:
    """Whether all of at least one value lie in [0, 1], rounding aside."""
    return bool(scores.min() >= -ROUNDING and scores.max() <= 1 + ROUNDING)


def _scores(trajectories: list[Trajectory]) -> dict[str, Estimate | None]:
    if not has_scores(trajectories):
        return {"max_score": None, "final_score": None}
    return {
        "max_score": _mean(trajectories, lambda t: t.max_score, bounded=True),
        "final_score": _mean(trajectories, lambda t: t.final_score, bounded=True),
    }


def _normalized(returns: Estimate, low: float, high: float) -> Estimate:
    """An estimate in units of the way from one return to another, which may lead downwards."""
    value, one, other = ((x - low) / (high - low) for x in (returns.value, returns.low, returns.high))
    return Estimate(value, min(one, other), max(one, other), returns.n)


def _returns(trajectories: list[Trajectory]) -> Estimate:
    return _mean(trajectories, lambda t: t.episode_return)


def _success(trajectories: list[Trajectory]) -> Estimate | None:
    if not any(t.tells_success for t in trajectories):
        return None
    n = len(trajectories)
    return wilson_share(sum(t.success for t in trajectories) / n, n, effective_starts(trajectories))


def _mode_estimate(trajectories: list[Trajectory], num_modes: int) -> Estimate:
    return mode_entropy_estimate(np.array([t.mode for t in trajectories]), num_modes, groups_of(trajectories))


def _mean(trajectories: list[Trajectory], number: Callable[[Trajectory], float], bounded: bool = False) -> Estimate:
    return clustered_mean(np.array([number(t) for t in trajectories]), groups_of(trajectories), bounded=bounded)

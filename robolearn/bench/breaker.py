"""Does one evaluation reach the best many-step row in every corner? Each target has three outcomes, by an interval.

    shown       the whole interval is on the right side of the margin
    missed      the whole interval is on the wrong side
    not shown   the margin lies within: these measurements do not tell

Intervals are of ours against theirs in the same resamples of training seeds and initial states, drawn for both
together. What was measured once has no interval, and shows nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from robolearn import seeds
from robolearn.bench.summary import Measured, entropies, per_state
from robolearn.rollout.coverage import divergence_resamples
from robolearn.rollout.intervals import CONFIDENCE, NUM_RESAMPLES
from robolearn.rollout.metrics import Estimate
from robolearn.types import Array

SUCCESS_LOSS = 0.01
ENTROPY_SHARE = 0.98
LATENCY_SHARE = 1.3
FORWARD = "regression"
"""The row whose latency is that of one forward pass of the backbone."""
Outcome = Literal["shown", "not shown", "missed"]


@dataclass(frozen=True)
class Verdict:
    """A row with one evaluation per chunk against the best many-step row.

    Attributes:
        row: Its name.
        success: Its success minus the other's; wanted is at least -0.01. The score where modes do not matter.
        entropy_share: Its mode entropy in that of the other; at least 0.98. None where modes do not matter.
        divergence: Its KL from the demonstrators minus the other's [nat]; at most 0, which without a margin only a
            smaller one can show. None where either is unknown.
        latency_share: Its median latency in that of one forward pass; at most 1.3. None where that is not measured.
        outcomes: Target -> outcome, of those that are known.
        together: Share of the resamples in which success, entropy and latency hold together, as far as they are known.
        outcome: missed if a target is; shown if success, entropy and latency are; else not shown.
    """

    row: str
    success: Estimate
    entropy_share: Estimate | None
    divergence: Estimate | None
    latency_share: Estimate | None
    outcomes: dict[str, Outcome]
    together: float
    outcome: Outcome


@dataclass(frozen=True)
class Resampled:
    """A number with what it is in each resample [r]."""

    estimate: Estimate
    values: Float[Array, " r"]


def judge(
    row: str,
    ours: Sequence[Measured],
    theirs: Sequence[Measured],
    forward: Sequence[Measured],
    modes: Sequence[int] | None,
) -> Verdict:
    """Judge a row.

    Args:
        row: Its name.
        ours: Its results, one per training seed.
        theirs: Those of the best many-step row, of the same training seeds.
        forward: Those of FORWARD, of the same training seeds; empty where it is not measured.
        modes: Demonstrations per mode; None where the task has none.
    """
    shape = per_state(ours, "success").shape
    draw = draw_groups(*shape)
    has_entropy = modes is not None and np.shape(ours[0]["evaluation"]["mode"])[1] > 1
    success = _difference(per_state, ours, theirs, "success" if has_entropy else "score", draw)
    entropy = divergence = latency = None
    if modes is not None and has_entropy:
        entropy = _ratio(entropies(ours, len(modes)), entropies(theirs, len(modes)), draw)
    if modes is not None:
        divergence = _divergence(ours, theirs, np.array(modes))
    if forward:
        latency = _latency(ours, forward, draw)
    targets = {
        "success": (success, outcome(success.estimate, least=-SUCCESS_LOSS), success.values >= -SUCCESS_LOSS),
        "entropy": entropy
        and (entropy, outcome(entropy.estimate, least=ENTROPY_SHARE), entropy.values >= ENTROPY_SHARE),
        "latency": latency
        and (latency, outcome(latency.estimate, most=LATENCY_SHARE), latency.values <= LATENCY_SHARE),
    }
    known = {name: found for name, found in targets.items() if found}
    outcomes: dict[str, Outcome] = {name: found[1] for name, found in known.items()}
    holds: Bool[Array, " r"] = np.logical_and.reduce([found[2] for found in known.values()])
    if divergence is not None:
        outcomes["KL"] = outcome(divergence, most=0.0)
    return Verdict(
        row,
        success.estimate,
        entropy and entropy.estimate,
        divergence,
        latency and latency.estimate,
        outcomes,
        float(holds.mean()),
        _overall(outcomes),
    )


def outcome(estimate: Estimate, *, least: float = -np.inf, most: float = np.inf) -> Outcome:
    """Where an interval lies: within [least, most], outside on one side, or across an end."""
    if estimate.low >= least and estimate.high <= most:
        return "shown"
    return "missed" if estimate.high < least or estimate.low > most else "not shown"


def _overall(outcomes: dict[str, Outcome]) -> Outcome:
    if "missed" in outcomes.values():
        return "missed"
    return "shown" if all(found == "shown" for name, found in outcomes.items() if name != "KL") else "not shown"


Draw = tuple[Array, Array]


def draw_groups(num_seeds: int, num_states: int) -> Draw:
    """Indices of resamples, [r, s, 1] of training seeds and [r, 1, c] of initial states, as `grouped_mean` draws."""
    rng = np.random.default_rng(seeds.FIXED)
    rows = rng.integers(num_seeds, size=(NUM_RESAMPLES, num_seeds, 1))
    return rows, rng.integers(num_states, size=(NUM_RESAMPLES, 1, num_states))


def _difference(
    numbers: Callable[..., Array], ours: Sequence[Measured], theirs: Sequence[Measured], key: str, draw: Draw
) -> Resampled:
    gaps = numbers(ours, key) - numbers(theirs, key)
    return _resampled(float(gaps.mean()), gaps[draw].mean((1, 2)), gaps)


def _ratio(ours: Float[Array, "s c"], theirs: Float[Array, "s c"], draw: Draw) -> Resampled | None:
    """Of the means; None where the other has none at all."""
    if not theirs.mean() > 0:
        return None
    shares = ours[draw].mean((1, 2)) / np.maximum(theirs[draw].mean((1, 2)), np.finfo(float).tiny)
    return _resampled(float(ours.mean() / theirs.mean()), shares, ours)


def _latency(ours: Sequence[Measured], forward: Sequence[Measured], draw: Draw) -> Resampled:
    """Of the medians over the training seeds, which is all that a latency is measured over."""
    one, other = (np.array([m["p50_ms"] for m in seeds]) for seeds in (ours, forward))
    rows = draw[0][..., 0]
    shares = np.median(one[rows], axis=1) / np.median(other[rows], axis=1)
    low, high = _quantiles(shares) if len(one) > 1 else (-np.inf, np.inf)
    return Resampled(Estimate(float(np.median(one) / np.median(other)), low, high, len(one)), shares)


def _divergence(ours: Sequence[Measured], theirs: Sequence[Measured], modes: Array) -> Estimate | None:
    """Difference of two divergences, by the basic bootstrap, which takes the bias out of both."""

    def resamples(seeds: Sequence[Measured]) -> tuple[float, Array] | None:
        parts = [m["evaluation"] for m in seeds]
        success, taken = (np.array([part[key] for part in parts]) for key in ("success", "mode"))
        return divergence_resamples(modes, success.astype(bool), taken)

    one, other = resamples(ours), resamples(theirs)
    if one is None or other is None:
        return None
    gap, gaps = one[0] - other[0], one[1] - other[1]
    gaps = gaps[np.isfinite(gaps)]
    low, high = _quantiles(gaps)
    return Estimate(2 * gap - float(gaps.mean()), 2 * gap - high, 2 * gap - low, len(gaps))


def _resampled(value: float, values: Array, groups: Float[Array, "s c"]) -> Resampled:
    """With a percentile interval; one group shows no spread, so that its interval is the whole line."""
    low, high = _quantiles(values) if groups.shape[1] > 1 else (-np.inf, np.inf)
    return Resampled(Estimate(value, low, high, groups.size), values)


def _quantiles(values: Array) -> tuple[float, float]:
    low, high = np.quantile(values, [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2])
    return float(low), float(high)

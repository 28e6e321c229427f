"""Does one evaluation reach the best many-step row in every corner? Each target has an outcome, by an interval.

Intervals are of ours against theirs in the same resamples of training seeds and initial states, drawn for both
together. What was measured once has no interval, and shows nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from robolearn.bench.summary import Measured, entropies, episodes, per_state
from robolearn.stats.bootstrap import Draws, Resampled
from robolearn.stats.differences import median_ratio, ratio
from robolearn.stats.divergence import mode_divergence_difference
from robolearn.stats.value import Estimate, Outcome
from robolearn.types import Array

SUCCESS_LOSS = 0.01
ENTROPY_SHARE = 0.98
LATENCY_SHARE = 1.3
TARGETS = {
    "success": (-SUCCESS_LOSS, np.inf),
    "entropy": (ENTROPY_SHARE, np.inf),
    "latency": (-np.inf, LATENCY_SHARE),
}
FORWARD = "regression"
"""The row whose latency is that of one forward pass of the backbone."""


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
    draws = Draws.resample(*per_state(ours, "success").shape)
    has_entropy = modes is not None and np.shape(ours[0]["evaluation"]["mode"])[1] > 1
    quality = "success" if has_entropy else "score"
    compared: dict[str, Resampled | None] = {
        "success": draws.mean(per_state(ours, quality) - per_state(theirs, quality))
    }
    divergence = None
    if modes is not None:
        if has_entropy:
            compared["entropy"] = ratio(entropies(ours, len(modes)), entropies(theirs, len(modes)), draws)
        divergence = mode_divergence_difference(np.array(modes), episodes(ours), episodes(theirs), draws)
    if forward:
        compared["latency"] = median_ratio(_latencies(ours), _latencies(forward), draws)
    return _verdict(row, {name: value for name, value in compared.items() if value is not None}, divergence)


def _verdict(row: str, compared: dict[str, Resampled], divergence: Estimate | None) -> Verdict:
    """What a row's values, by target, and its divergence show."""
    estimates = {name: value.estimate for name, value in compared.items()}
    outcomes: dict[str, Outcome] = {name: value.outcome(*TARGETS[name]) for name, value in estimates.items()}
    if divergence is not None:
        outcomes["KL"] = divergence.outcome(most=0.0)
    return Verdict(
        row,
        estimates["success"],
        estimates.get("entropy"),
        divergence,
        estimates.get("latency"),
        outcomes,
        float(np.all([value.within(*TARGETS[name]) for name, value in compared.items()], axis=0).mean()),
        _overall(outcomes),
    )


def _overall(outcomes: dict[str, Outcome]) -> Outcome:
    if "missed" in outcomes.values():
        return "missed"
    return "shown" if all(outcome == "shown" for name, outcome in outcomes.items() if name != "KL") else "not shown"


def _latencies(measured: Sequence[Measured]) -> Float[Array, " s"]:
    return np.array([m["p50_ms"] for m in measured])

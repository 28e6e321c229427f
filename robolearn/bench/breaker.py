"""Does one evaluation reach the best many-step row in every corner? The targets, and how far each row is from them."""

from __future__ import annotations

from dataclasses import dataclass

from robolearn.bench.gather import Entry, Group
from robolearn.rollout.metrics import Estimate

SUCCESS_LOSS = 0.01
ENTROPY_SHARE = 0.98
LATENCY_SHARE = 1.3
FORWARD = "regression"
"""The row whose latency is that of one forward pass of the backbone."""


@dataclass(frozen=True)
class Verdict:
    """A row with one evaluation per chunk against the best many-step row.

    Attributes:
        row: Its name.
        success: Its success minus the other's, paired; at least -0.01 is wanted, an interval above 0 hoped for.
        entropy_share: Its mode entropy in that of the other; at least 0.98. None where modes do not matter.
        divergence: Its KL, and the other's; wanted is an interval that does not lie above the other's value. None
            where either is unknown.
        latency_share: Its median latency in that of one forward pass; at most 1.3. None where that is not measured.
        missed: Targets it misses: success, entropy and latency by their values, KL by its interval.
    """

    row: str
    success: Estimate
    entropy_share: float | None
    divergence: tuple[Estimate, Estimate] | None
    latency_share: float | None
    missed: tuple[str, ...]


def judge(group: Group) -> list[Verdict]:
    """All rows with one evaluation that share training seeds with the best many-step row, in their order."""
    by_name = {entry.row: entry for entry in group.entries}
    if group.baseline is None:
        return []
    best, forward = by_name[group.baseline], by_name.get(FORWARD)
    one_step = [entry for entry in group.entries if entry.best.nfe == 1 and entry.difference]
    return [_verdict(entry, best, forward) for entry in one_step]


def _verdict(entry: Entry, best: Entry, forward: Entry | None) -> Verdict:
    ours, theirs = entry.best.numbers, best.best.numbers
    # Where modes do not matter a task is judged by its score.
    success = entry.difference["success" if ours.mode_entropy else "score"]
    share = latency = divergence = None
    if ours.mode_entropy and theirs.mode_entropy and theirs.mode_entropy.value > 0:
        share = ours.mode_entropy.value / theirs.mode_entropy.value
    if ours.divergence and theirs.divergence:
        divergence = ours.divergence, theirs.divergence
    if forward is not None:
        latency = entry.best.p50_ms / forward.best.p50_ms
    targets = {
        "success": success.value >= -SUCCESS_LOSS,
        "entropy": share is None or share >= ENTROPY_SHARE,
        "KL": divergence is None or divergence[0].low <= divergence[1].value,
        "latency": latency is None or latency <= LATENCY_SHARE,
    }
    return Verdict(
        entry.row, success, share, divergence, latency, tuple(name for name, ok in targets.items() if not ok)
    )

"""The evaluation's numbers as a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich import box
from rich.table import Table
from rich.text import Text

from robolearn.errors import printable
from robolearn.report.page import interval_text, latency_text, starts_text
from robolearn.rollout.metrics import Summary
from robolearn.rollout.spent import shares
from robolearn.stats.value import Estimate
from robolearn.trust.summary import GateSummary, Promise


def format_table(
    summary: Summary, latency: Mapping[str, int | float] | None = None, gate: GateSummary | None = None
) -> Table:
    """Lay out a summary in at most 80 columns: name, number, 95 % interval, note."""
    table = Table(box=box.SIMPLE_HEAD, title=starts_text(summary), title_justify="left")
    table.add_column("", style="bold")
    table.add_column("value", justify="right")
    table.add_column("95 % interval")
    table.add_column("", style="dim")

    if summary.success is None:
        table.add_row("success", "", "", "no success reported")
    else:
        _add(table, "success", summary.success)
    for name, score in (("max score", summary.max_score), ("final score", summary.final_score)):
        if score is not None:
            _add(table, name, score)
    _add(table, "return", summary.episode_return, "sum of rewards", ".4g")
    if summary.normalized_return is not None:
        _add(table, "normalized return", summary.normalized_return, "of random to expert")
    if summary.mode_entropy is not None:
        _add(table, "mode entropy", summary.mode_entropy, f"{summary.modes_seen} of {summary.num_modes} modes")
    _add(table, "length", summary.length, "steps", ".1f")
    if summary.smoothness is not None:
        _add(table, "RMS jerk", summary.smoothness, "action units / s^3", ".3g")
    if summary.clipped.steps:
        table.add_row("clipped", f"{summary.clipped.steps:.3f}", "", "of the steps")
    if gate is not None:
        _add_gate(table, gate)
    for label, value in (latency_text(*item) for item in (latency or {}).items()):
        table.add_row(label, value, "", "for a core" if label.endswith("waited") else "")
    # Text, not markup, and printable: a reason may hold a stranger's error message.
    ended = printable(", ".join(f"{reason} {count}" for reason, count in summary.reasons.items()))
    table.caption, table.caption_justify = Text("ended by: ").append(ended, style="dim"), "left"
    return table


def format_spent(seconds: Mapping[str, float]) -> Table:
    """Lay out where the time of a call went: part, seconds, share."""
    table = Table(box=box.SIMPLE_HEAD, title="where the time went", title_justify="left", show_footer=True)
    table.add_column("", "all", style="bold")
    table.add_column("s", f"{sum(seconds.values()):.1f}", justify="right")
    table.add_column("share", justify="right")
    for part, share in shares(seconds).items():
        table.add_row(part, f"{seconds[part]:.1f}", f"{share:.0%}")
    return table


def _add(table: Table, name: str, estimate: Estimate, note: str = "", spec: str = ".3f") -> None:
    table.add_row(name, f"{estimate.value:{spec}}", interval_text(estimate, spec), Text(printable(note)))


def _add_gate(table: Table, gate: GateSummary) -> None:
    """Rows of what a gate and a safety set did, each with its promise where that speaks of these episodes."""

    def promised(promise: Promise, note: str) -> None:
        if gate.covered:
            table.add_row("  promised", f"{promise.alpha:g}", f"[{promise.low:.3f}, {promise.high:.3f}]", note)
        else:
            table.add_row("  promised", "", "", "nothing: not covered")

    _add(table, "alarmed", gate.alarmed, gate.reason)
    for name, share in (("  successes", gate.alarmed_successes), ("  failures", gate.alarmed_failures)):
        if share.n:
            _add(table, name, share, f"of {share.n}")
    if gate.promise is not None:
        promised(gate.promise, "false alarms, while it only watches")
    if gate.tube is not None:
        _add(table, "left a tube", gate.tube.left, f"of {gate.tube.left.n}")
        promised(gate.tube.promise, "before an intervention of a gate")
    table.add_row("intervened", f"{gate.intervened:.3f}", "", f"of all steps: {gate.fallback}")

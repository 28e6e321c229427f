"""A comparison in the terminal: the verdict first, then the numbers that it rests on."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from robolearn.errors import printable
from robolearn.report.comparison import Comparison
from robolearn.rollout.clip_remarks import OFTEN
from robolearn.rollout.pairs import Verdict
from robolearn.starts import SPEAKS

STYLES = {"shown": "bold green", "refuted": "bold red", "undecided": "bold yellow"}


def format_verdict(comparison: Comparison) -> Group:
    """The verdict in a line, and a table of at most 80 columns."""
    verdict = comparison.verdict
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("", style="bold")
    table.add_column(verdict.question.by, justify="right")
    table.add_column(f"{confidence_text(verdict)} at every look")
    table.add_column("", style="dim")
    for name, mean, ahead in (
        ("A", verdict.mean_a, verdict.num_a_ahead),
        ("B", verdict.mean_b, verdict.num_b_ahead),
    ):
        run = comparison.facts[f"run_{name.lower()}"]
        table.add_row(name, f"{mean:.3f}", "", Text(printable(f"better in {ahead} pairs: {run}")))
    table.add_row("B - A", f"{verdict.difference:+.3f}", interval_text(verdict), f"{verdict.num_pairs} pairs")
    return Group(Text(f"{verdict.words}.", style=STYLES[verdict.outcome]), table)


def interval_text(verdict: Verdict) -> str:
    """The interval of the mean difference."""
    return f"{verdict.low:+.3f} to {verdict.high:+.3f}"


def confidence_text(verdict: Verdict) -> str:
    """How sure the interval is: "95 %"."""
    return f"{100 * (1 - verdict.question.alpha):g} %"


def remarks(comparison: Comparison) -> Iterator[str]:
    """What has to be known when reading the verdict, a line each."""
    verdict = comparison.verdict
    if verdict.num_broken:
        yield f"{verdict.num_broken} pairs are left out, as the environment failed in them"
    if verdict.num_starts < verdict.num_pairs:
        yield f"{verdict.num_pairs} pairs began from {verdict.num_starts} distinct starts: {SPEAKS}"
    if verdict.num_clipped:
        yield f"in {verdict.num_clipped} pairs a return is outside of the range, and counts as its end"
    for name in ("a", "b"):
        ends = [getattr(pair, name) for pair in comparison.pairs if not pair.broken]
        steps = sum(end.length for end in ends)
        clipped = sum(end.clipped * end.length for end in ends) / max(steps, 1)
        if clipped >= OFTEN:
            yield f"{name.upper()}: in {100 * clipped:.3g} % of the steps actions were clipped to the declared space"

"""One self-contained HTML page of a comparison, in the style of an evaluation's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from markupsafe import Markup

from robolearn.files import replacing
from robolearn.report import plots
from robolearn.report.comparison import Comparison
from robolearn.report.comparison_terminal import confidence_text, interval_text, remarks
from robolearn.report.page import TEMPLATES, Card

MAX_SHOWN = 1000  # pairs in the table


def write_page(path: Path, comparison: Comparison) -> None:
    """Write the page; it appears complete or not at all."""
    verdict, source = comparison.verdict, comparison.source
    plot = plots.difference_over_pairs(verdict.sequence, verdict.question.threshold)
    html = TEMPLATES.get_template(
        "comparison.html"
    ).render(
        comparison=comparison,
        verdict=verdict,
        cards=_cards(comparison),
        remarks=list(remarks(comparison)),
        confidence=confidence_text(verdict),
        plot=Markup(plot),  # it holds no text from outside
        sides=list(_sides(source["a"], source["b"])),
        shown=comparison.pairs[:MAX_SHOWN],
        facts={"environment": _in_words(source["environment"]), "seed": source["seed"], **comparison.facts},
    )
    with replacing(path) as part:
        part.write_text(html, encoding="utf-8")


def _cards(comparison: Comparison) -> list[Card]:
    verdict = comparison.verdict
    by, rolled_out = verdict.question.by, len(comparison.pairs)
    ties = verdict.num_pairs - verdict.num_a_ahead - verdict.num_b_ahead
    ahead = f"B better in {verdict.num_b_ahead}, A in {verdict.num_a_ahead}, alike in {ties}"
    return [
        Card(
            "B - A", f"{verdict.difference:+.3f}", interval_text(verdict), f"{confidence_text(verdict)} at every look"
        ),
        Card(f"A: {by}", f"{verdict.mean_a:.3f}", "", "mean", _bar(verdict.mean_a)),
        Card(f"B: {by}", f"{verdict.mean_b:.3f}", "", "mean", _bar(verdict.mean_b)),
        Card("Pairs", f"{verdict.num_pairs}", f"of {rolled_out} rolled out", ahead),
    ]


def _bar(share: float) -> tuple[float, float, float]:
    return (0.0, 100 * share, 100 * share)


def _sides(a: dict[str, Any], b: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Rows of the table of the two policies."""
    for key, value in a.items():
        yield key.replace("_", " "), _in_words(value), _in_words(b[key])


def _in_words(value: Any) -> str:
    """A value of JSON as a reader likes it: what is not chosen is left out."""
    if isinstance(value, dict):
        chosen = {name: item for name, item in value.items() if item or (item == 0 and item is not False)}
        return ", ".join(f"{name} {_in_words(item)}" for name, item in chosen.items()) or "nothing chosen"
    if isinstance(value, list):
        return ", ".join(map(_in_words, value)) or "none"
    return value if isinstance(value, str) else json.dumps(value)

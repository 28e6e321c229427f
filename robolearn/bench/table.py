"""The measurement as a page of markdown tables."""

from __future__ import annotations

from collections.abc import Sequence

from robolearn.bench.breaker import ENTROPY_SHARE, LATENCY_SHARE, SUCCESS_LOSS, Verdict
from robolearn.bench.gather import MANY_STEPS, Entry, Group, Measurement
from robolearn.stats.value import Estimate

MARKS = "¹²³⁴⁵⁶⁷⁸⁹"
ABSENT = "-"
DIFFERENCES = {
    "success": "success",
    "score": "score",
    "mode_entropy": "mode entropy",
    "energy": "energy (lower is better)",
    "bridge": "bridge rate (lower is better)",
}


def write_page(groups: Sequence[Group], plot: str) -> str:
    """The page, with the plot's file name."""
    parts = [
        "# Results: the triangle of quality, coverage and speed",
        "`python -m robolearn bench triangle` trains every family on one backbone and one budget and measures what the "
        "columns say; [how](../triangle.md). All numbers with their settings are in the JSON file beside this page. "
        "Intervals are 95 %, over training seeds and initial states together.",
        f"![Quality, coverage and speed of every row]({plot})",
    ]
    for group in groups:
        parts += _section(group)
    return "\n\n".join(parts) + "\n"


def _section(group: Group) -> list[str]:
    notes = list(dict.fromkeys(text for entry in group.entries for text in entry.sized_down))
    # Marks run out after nine kinds of shortfall; there are four.
    marks = dict(zip(notes, MARKS, strict=False))
    facts = "; ".join(f"{name}: {group.facts[name]}" for name in ("hardware", "commit") if name in group.facts)
    parts = [f"## {group.task}, budget {group.budget}", f"{group.entries[0].episodes} episodes per seed. {facts}"]
    parts.append(_table(_header(group), [_row(entry, marks) for entry in group.entries]))
    if notes:
        parts.append("Sized down: " + "; ".join(f"{marks[text]} {text}" for text in notes) + ".")
    parts += [f"{entry.row} was {entry.note}." for entry in group.entries if entry.note]
    if group.failed:
        parts.append("Trainings without a result: " + "; ".join(f"{k}: {why}" for k, why in group.failed.items()) + ".")
    differing = [entry for entry in group.entries if entry.difference]
    if differing:
        keys = [key for key in DIFFERENCES if key in differing[0].difference]
        lines = [[e.row, *(_interval(e.difference.get(key), "+.3f") for key in keys)] for e in differing]
        parts += [
            f"### Differences from {group.baseline}",
            f"Paired, row minus {group.baseline}, the best row with {MANY_STEPS} evaluations per chunk or more by its "
            "selection episodes.",
            _table(["row", *(DIFFERENCES[key] for key in keys)], lines),
        ]
    if group.verdicts:
        parts += [
            f"### One evaluation against {group.baseline}",
            f"Wanted: success at least its - {SUCCESS_LOSS}, mode entropy at least {ENTROPY_SHARE} of its, KL no "
            f"larger, latency at most {LATENCY_SHARE} forward passes of the backbone (regression's). Shown is a target "
            "whose whole interval is on the right side, missed one whose whole interval is on the wrong side; of the "
            "rest these measurements do not tell. Together: share of the resamples of training seeds and initial "
            "states in which success, entropy and latency hold at once. A row is shown if these three are and its KL "
            "is not missed. "
            f"In {group.chosen_again:.0%} of the resamples of the selection episodes {group.baseline} is chosen again "
            "as the row to be compared with.",
            _table(["row", *_VERDICT_HEADER], [_verdict(one) for one in group.verdicts]),
        ]
    return [*parts, "### Every setting", _table(["row", *_SETTING_HEADER], _settings(group.entries))]


_VERDICT_HEADER = ("success", "entropy / its", "KL - its", "latency / forward", "together", "verdict")


def _verdict(one: Verdict) -> list[str]:
    def cell(name: str, estimate: Estimate | None, spec: str) -> str:
        return ABSENT if estimate is None else f"{_interval(estimate, spec)}: {one.outcomes[name]}"

    return [
        one.row,
        cell("success", one.success, "+.3f"),
        cell("entropy", one.entropy_share, ".3f"),
        cell("KL", one.divergence, "+.3f"),
        cell("latency", one.latency_share, ".2f"),
        f"{one.together:.2f}",
        one.outcome,
    ]


def _header(group: Group) -> list[str]:
    expert = group.entries[0].best.numbers.expert_entropy
    entropy = "mode entropy" if expert is None else f"mode entropy (demonstrators {expert:.3f})"
    return [
        *("row", "setting", "nfe", "success", "score", entropy, "KL [nat]", "energy", "bridge rate"),
        *("p50 / p99 [ms]", "training [CPU-s]", "steps", "parameters (trained)"),
    ]


def _row(entry: Entry, marks: dict[str, str]) -> list[str]:
    best, numbers = entry.best, entry.best.numbers
    compute = "" if entry.relative_compute is None else f" ({entry.relative_compute:.2f})"
    extra = f" ({_millions(entry.trained_parameters)})" if entry.trained_parameters > best.parameters else ""
    return [
        entry.row + "".join(marks[text] for text in entry.sized_down),
        best.setting,
        str(best.nfe),
        _interval(numbers.success),
        _interval(numbers.score),
        _interval(numbers.mode_entropy),
        _interval(numbers.divergence),
        _interval(numbers.energy),
        _interval(numbers.bridge),
        f"{best.p50_ms:.2f} / {best.p99_ms:.2f}",
        f"{entry.cpu_s:.0f}{compute}",
        f"{entry.steps:,}",
        _millions(best.parameters) + extra,
    ]


_SETTING_HEADER = ("setting", "chosen", "merit", "nfe", "success", "score", "mode entropy", "bridge rate", "p50 [ms]")


def _settings(entries: Sequence[Entry]) -> list[list[str]]:
    def line(entry: Entry, one: Measurement) -> list[str]:
        numbers = one.numbers
        values = (numbers.success, numbers.score, numbers.mode_entropy, numbers.bridge)
        shown = [ABSENT if value is None else f"{value.value:.3f}" for value in values]
        mark = "yes" if one is entry.best else ""
        return [entry.row, one.setting, mark, f"{one.merit:.3f}", str(one.nfe), *shown, f"{one.p50_ms:.2f}"]

    return [line(entry, one) for entry in entries for one in entry.settings]


def _interval(estimate: Estimate | None, spec: str = ".3f") -> str:
    return ABSENT if estimate is None else format(estimate, spec)


def _millions(count: int) -> str:
    return f"{count / 1e6:.2f} M"


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)

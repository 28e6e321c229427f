"""The measurement as a page of markdown tables."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from robolearn.bench.breaker import ENTROPY_SHARE, LATENCY_SHARE, QUALITY_LOSS, Match, Verdict
from robolearn.bench.gather import MANY_STEPS, Entry, Group, Measurement
from robolearn.stats.value import Estimate

WIDTH = 100
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
    return "\n\n".join(map(_wrapped, parts)) + "\n"


def _wrapped(part: str) -> str:
    """A paragraph in lines of WIDTH; a table or a heading as it is."""
    if part.startswith(("|", "#", "!")):
        return part
    return textwrap.fill(part, WIDTH, break_long_words=False, break_on_hyphens=False)


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
        parts += _verdicts(group.verdicts)
    return [*parts, "### Every setting", _table(["row", *_SETTING_HEADER], _settings(group.entries))]


def _verdicts(verdicts: Sequence[Verdict]) -> list[str]:
    """What every row with one evaluation shows beside all many-step rows."""
    rivals = len({match.rival for match in verdicts[0].matches})
    return [
        "### One evaluation against many",
        f"Not worse is wanted beside each of {rivals} many-step settings: success (without modes the score) at least "
        f"theirs - {QUALITY_LOSS}, mode entropy at least {ENTROPY_SHARE} of theirs or of the demonstrators', whichever "
        f"is less; and a latency of at most {LATENCY_SHARE} forward passes of the backbone (regression's). All of it "
        "is tested together (Holm), over training seeds and initial states. Shown is what is shown beside every "
        "setting, missed what is missed beside one; of the rest these measurements do not tell. The columns name the "
        "setting that is hardest to reach, with the interval of that comparison alone: of the difference in quality, "
        f"and of the entropy less {ENTROPY_SHARE} of theirs. Better is in which target it is shown to be above every "
        f"setting.{_looks(verdicts[0].looks)}",
        _table(["row", "setting", "seeds", *_VERDICT_HEADER], [_verdict(one) for one in verdicts]),
    ]


def _looks(looks: int) -> str:
    """What more than one of them costs; nothing to say of the first."""
    if looks == 1:
        return ""
    return f" This is look {looks} at data that grew: each of its tests has 1 part in {looks} of a single one's error."


_VERDICT_HEADER = ("quality", "hardest", "coverage", "hardest", "latency / forward", "not worse", "better")


def _verdict(one: Verdict) -> list[str]:
    quality = one.hardest("success") or one.hardest("score")
    latency = ABSENT if one.latency_share is None else f"{one.latency_share:.2f}: {one.speed}"
    cells = [cell for match in (quality, one.hardest("entropy")) for cell in _match(one, match)]
    return [
        *(one.row, one.setting, str(len(one.seeds))),
        *cells,
        latency,
        one.outcome,
        ", ".join(one.better) or ABSENT,
    ]


def _match(verdict: Verdict, hardest: Match | None) -> tuple[str, str]:
    """The hardest comparison of a target, and what all of them say together."""
    if hardest is None:
        return ABSENT, ABSENT
    return f"{hardest.difference:+.3f}: {verdict.not_worse(hardest.target)}", hardest.rival


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

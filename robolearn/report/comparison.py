"""What a comparison of two policies leaves on disk: its pairs, a line each, and the verdict with where it comes from.

    OUT/pairs.jsonl         every pair that was rolled out, in order; facts, whatever is asked of them
    OUT/comparison.json     the verdict on what was asked, and what has to be known to do it again
    OUT/comparison.html     the page for people

The first two take their places together after every batch, so what was rolled out is there after a kill too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robolearn.config import finite, from_json, parse_json, read_json, to_json, write_json, write_json_lines
from robolearn.errors import UserError
from robolearn.files import finish_replacing, replacing_all
from robolearn.rollout.pairs import Pair, Verdict

PAIRS_FILE, COMPARISON_FILE, PAGE_FILE = "pairs.jsonl", "comparison.json", "comparison.html"
SOURCE = "source"


@dataclass(frozen=True)
class Comparison:
    """Two policies, and the verdict.

        comparison = compare(Path("runs/old"), Path("runs/new"))
        print(comparison.verdict.words, comparison.verdict.low, comparison.verdict.high)

    Attributes:
        verdict: What the pairs say.
        pairs: All that were rolled out, those after the verdict included.
        source: What the episodes depend on: of "a" and "b" the hash of the checkpoint, how it acts, what it was trained
            on; environment and seed.
        facts: Label -> text: runs, versions, commit, hardware.
        command: What it was made by.
        directory: Where it is written.
    """

    verdict: Verdict
    pairs: Sequence[Pair]
    source: Mapping[str, Any]
    facts: Mapping[str, str]
    command: str
    directory: Path


def write_comparison(comparison: Comparison) -> None:
    """Write pairs and verdict together, and take the page of an earlier verdict away."""
    with replacing_all(comparison.directory, (PAIRS_FILE, COMPARISON_FILE, PAGE_FILE)) as folder:
        _write_pairs(folder / PAIRS_FILE, comparison.pairs)
        write_json(folder / COMPARISON_FILE, finite(_content(comparison)))


def write_unjudged(directory: Path, source: Mapping[str, Any], pairs: Sequence[Pair]) -> None:
    """Write pairs that no verdict is made of yet."""
    with replacing_all(directory, (PAIRS_FILE, COMPARISON_FILE, PAGE_FILE)) as folder:
        _write_pairs(folder / PAIRS_FILE, pairs)
        write_json(folder / COMPARISON_FILE, {SOURCE: dict(source)})


def read_pairs(directory: Path, source: Mapping[str, Any]) -> list[Pair]:
    """The pairs that an earlier run of the same comparison left; none if there was none.

    Raises:
        UserError: They are of another comparison, or damaged.
    """
    finish_replacing(directory)
    path = directory / PAIRS_FILE
    if not path.exists():
        return []
    before = read_json(directory / COMPARISON_FILE)
    told = before.get(SOURCE) if isinstance(before, dict) else None
    if told != json.loads(json.dumps(source)):
        raise UserError(
            f"{directory} holds another comparison, {_differing(told, source)}; choose another `out`, or remove it"
        )
    return [_read_pair(path, number, line) for number, line in enumerate(path.read_bytes().splitlines())]


def _differing(told: Any, source: Mapping[str, Any]) -> str:
    """In what two sources differ."""
    if not isinstance(told, dict):
        return "which does not say of what"
    names = []
    for key, value in json.loads(json.dumps(source)).items():
        other = told.get(key)
        if isinstance(value, dict) and isinstance(other, dict):
            both = dict.fromkeys([*value, *other])  # some are there only where they are chosen
            names += [f"{key}.{name}" for name in both if value.get(name) != other.get(name)]
        elif value != other:
            names.append(key)
    return f"with other {', '.join(names)}"


def _read_pair(path: Path, number: int, line: bytes) -> Pair:
    where = f"{path}, line {number + 1}"
    pair = from_json(Pair, parse_json(line, where), {}, where)
    if pair.episode != number:
        raise UserError(f"{where}: is of episode {pair.episode}, expected {number}")
    return pair


def _write_pairs(path: Path, pairs: Sequence[Pair]) -> None:
    write_json_lines(path, (to_json(pair, {}) for pair in pairs))


def _content(comparison: Comparison) -> dict[str, Any]:
    verdict = comparison.verdict
    question = verdict.question
    return {
        "verdict": verdict.words,
        "claim": verdict.claim,
        "outcome": verdict.outcome,
        "exit_status": verdict.exit_status,
        "by": question.by,
        "margin": question.margin,
        "alpha": question.alpha,
        "return_range": to_json(question.return_range, {}),
        "difference": {
            "value": verdict.difference,
            "low": verdict.low,
            "high": verdict.high,
            "n": verdict.num_pairs,
        },
        "mean_a": verdict.mean_a,
        "mean_b": verdict.mean_b,
        "pairs": {
            "rolled_out": len(comparison.pairs),
            "counted": verdict.num_pairs,
            "starts": verdict.num_starts,
            "b_ahead": verdict.num_b_ahead,
            "a_ahead": verdict.num_a_ahead,
            "broken": verdict.num_broken,
            "clipped_return": verdict.num_clipped,
        },
        SOURCE: dict(comparison.source),
        **comparison.facts,
        "command": comparison.command,
    }

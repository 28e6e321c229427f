"""What an evaluation leaves on disk for programs: episodes and numbers. The page for people is made afterwards."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robolearn.config import finite, read_json, to_json, write_json, write_json_lines
from robolearn.files import finish_replacing, replacing_all
from robolearn.rollout.metrics import Summary, has_scores
from robolearn.trust.summary import GateSummary
from robolearn.types import Trajectory

EPISODES_FILE, SUMMARY_FILE, PAGE_FILE = "episodes.jsonl", "summary.json", "report.html"
PARTIAL = "partial"  # the folder, where it must not replace what is complete


def write_results(
    directory: Path,
    trajectories: Sequence[Trajectory],
    summary: Summary,
    *,
    evaluated: Mapping[str, Any] | None = None,
    latency: Mapping[str, int | float] | None = None,
    gate: GateSummary | None = None,
    spent: Mapping[str, float] | None = None,
    asked: int | None = None,
) -> None:
    """Write episodes.jsonl and summary.json together, and take the page of earlier results away.

    Args:
        directory: Where.
        trajectories: Those that finished.
        summary: Their numbers.
        evaluated: What was, and where, as far as the command could have it otherwise.
        latency: Of choosing actions, once it is measured.
        gate: What the gate did, where there was one.
        spent: Where the time went, part by part [s].
        asked: How many episodes were asked for, if the evaluation was stopped before all of them had finished.
    """
    content: dict[str, Any] = {"summary": to_json(summary, {})}
    if evaluated is not None:
        content = {"evaluated": dict(evaluated), **content}
    if asked is not None:
        content = {"partial": {"asked": asked, "finished": len(trajectories)}, **content}
    if latency is not None:
        content["latency"] = dict(latency)
    if gate is not None:
        content["gate"] = to_json(gate, {})
    if spent is not None:
        content["spent_s"] = {part: round(seconds, 3) for part, seconds in spent.items()}
    with replacing_all(directory, (EPISODES_FILE, SUMMARY_FILE, PAGE_FILE)) as folder:
        write_episodes(folder / EPISODES_FILE, trajectories)
        write_json(folder / SUMMARY_FILE, finite(content))


def write_episodes(path: Path, trajectories: Sequence[Trajectory]) -> None:
    """Write a line per episode."""
    write_json_lines(path, (finite(_row(t)) for t in trajectories))


def directory_for_partial(directory: Path) -> Path:
    """Where the results of a stopped evaluation go: never over those of a complete one."""
    finish_replacing(directory)
    complete = directory / SUMMARY_FILE
    return directory / PARTIAL if complete.exists() and "partial" not in read_json(complete) else directory


def _row(trajectory: Trajectory) -> dict[str, Any]:
    """One line of episodes.jsonl: everything but the arrays; a broken episode has no score, nor has one without."""
    fields = {f.name: getattr(trajectory, f.name) for f in dataclasses.fields(trajectory)}
    return {
        **{name: value for name, value in fields.items() if not isinstance(value, np.ndarray | dict)},
        "length": len(trajectory),
        "return": trajectory.episode_return,
        "max_score": trajectory.max_score,
        "final_score": trajectory.final_score,
        **({} if has_scores([trajectory]) else dict.fromkeys(("max_score", "final_score"))),
        **({} if trajectory.tells_success else {"success": None}),
        **(dict.fromkeys(("success", "return", "max_score", "final_score")) if trajectory.broken else {}),
    }

"""What an evaluation leaves on disk: episodes and numbers for programs, one page for people."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from robolearn.config import to_json, write_json
from robolearn.files import replacing
from robolearn.report.page import Report, write_report
from robolearn.types import Trajectory


def write_results(directory: Path, report: Report) -> None:
    """Write episodes.jsonl, summary.json and report.html."""
    directory.mkdir(parents=True, exist_ok=True)
    with replacing(directory / "episodes.jsonl") as part:
        part.write_text("".join(json.dumps(_row(t)) + "\n" for t in report.trajectories))
    summary = {"summary": to_json(report.summary, {}), "latency": dict(report.latency)}
    if report.gate is not None:
        summary["gate"] = to_json(report.gate, {})
    write_json(directory / "summary.json", summary)
    write_report(directory / "report.html", report)


def _row(trajectory: Trajectory) -> dict[str, Any]:
    """One line of episodes.jsonl: everything but the arrays."""
    fields = {f.name: getattr(trajectory, f.name) for f in dataclasses.fields(trajectory)}
    return {
        **{name: value for name, value in fields.items() if not isinstance(value, np.ndarray | dict)},
        "length": len(trajectory),
        "max_score": trajectory.max_score,
        "final_score": trajectory.final_score,
    }

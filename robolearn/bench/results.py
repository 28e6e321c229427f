"""Write the gathered measurement: numbers for programs, a page and a drawing for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robolearn.bench.gather import gather
from robolearn.bench.kept import NOTHING, Kept
from robolearn.bench.plot import write_plot
from robolearn.bench.rows import Row, Task
from robolearn.bench.table import write_page
from robolearn.config import to_json, write_json
from robolearn.files import replacing


def write_results(out: Path, tasks: Sequence[Task], rows: Sequence[Row], runs: Path, kept: Kept = NOTHING) -> str:
    """Write OUT.json, OUT.md and OUT.png from everything that is finished; return a line that says so."""
    groups = gather(tasks, rows, runs, kept)
    if not groups:
        return f"nothing is finished in {runs} yet"
    out.parent.mkdir(parents=True, exist_ok=True)
    files = [out.with_name(out.name + suffix) for suffix in (".json", ".md", ".png")]
    write_json(files[0], _finite(to_json(groups, {})))
    with replacing(files[1]) as part:
        part.write_text(write_page(groups, files[2].name))
    write_plot(files[2], groups)
    return f"results: {', '.join(map(str, files))}"


def _finite(value: Any) -> Any:
    """With null for the ends of an interval that is the whole line: JSON knows no infinity."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

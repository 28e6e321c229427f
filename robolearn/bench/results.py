"""Write the gathered measurement: numbers for programs, a page and a drawing for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from robolearn.bench.gather import gather
from robolearn.bench.kept import NOTHING, Kept
from robolearn.bench.plot import write_plot
from robolearn.bench.rows import Row, Task
from robolearn.bench.table import write_page
from robolearn.config import finite, to_json, write_json
from robolearn.files import replacing
from robolearn.locks import turn


def write_results(out: Path, tasks: Sequence[Task], rows: Sequence[Row], runs: Path, kept: Kept = NOTHING) -> str:
    """Write OUT.json, OUT.md and OUT.png from everything that is finished; return a line that says so."""
    out.parent.mkdir(parents=True, exist_ok=True)
    files = result_files(out)
    with turn(out):  # several processes may share the work; who comes second has what the first finished, and more
        groups = gather(tasks, rows, runs, kept)
        if not groups:
            return f"nothing is finished in {runs} yet"
        write_json(files[0], finite(to_json(groups, {})), compact=True)
        with replacing(files[1]) as part:
            part.write_text(write_page(groups, files[2].name), encoding="utf-8")
        write_plot(files[2], groups)
    return f"results: {', '.join(map(str, files))}"


def result_files(out: Path) -> list[Path]:
    """OUT.json, OUT.md and OUT.png."""
    return [out.with_name(out.name + suffix) for suffix in (".json", ".md", ".png")]

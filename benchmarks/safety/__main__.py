"""Knowing when not to trust, measured in closed loop: detection, bands, gates, safety sets and their cost.

    python -m benchmarks.safety run [--workers N] [--gpu N]    # about four hours on one core
    python -m benchmarks.safety page                           # every figure from benchmarks/safety/raw.xz

`run` collects demonstrations, trains, and rolls out; what is done stays under runs/safety, so that the same command
goes on where it was stopped. What figures need of the raw episodes goes to benchmarks/safety/raw.xz, and from it alone
`page` makes docs/results/safety.json, safety.md and safety.png.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

from benchmarks.safety.cost import cost_figures, measure_cost
from benchmarks.safety.dagger import dagger_figures, dagger_units
from benchmarks.safety.detection import alarm_figures, detection_figures, miss_figures
from benchmarks.safety.fallbacks import fallback_figures, fallback_units
from benchmarks.safety.gate_figures import gate_figures
from benchmarks.safety.gates import gate_units
from benchmarks.safety.kept import pack, read
from benchmarks.safety.page import write_page
from benchmarks.safety.raw import KEPT, Raw
from benchmarks.safety.sets import set_figures, set_units, tube_figures, tube_units
from benchmarks.safety.study import DRY, Study, collect
from benchmarks.safety.units import do_units
from benchmarks.safety.watched import fitting_units, training_units, watching_units
from robolearn.config import write_json
from robolearn.errors import UserError, user_errors
from robolearn.trust.conformal.thresholds import TooFewWarning

PAGE = Path("docs/results/safety")
# Part -> its figures, and the raw episodes that they are computed from.
FIGURES = {
    "alarms": (alarm_figures, "watched"),
    "misses": (miss_figures, "watched"),
    "detection": (detection_figures, "watched"),
    "gates": (gate_figures, "gates"),
    "fallbacks": (fallback_figures, "fallbacks"),
    "dagger": (dagger_figures, "dagger"),
    "tubes": (tube_figures, "tubes"),
    "sets": (set_figures, "sets"),
    "cost": (cost_figures, "cost"),
}


def run(study: Study, workers: int, on_gpu: int, out: Path) -> None:
    """Do what is not done yet, and keep the raw episodes.

    Raises:
        UserError: Some units failed; the others are kept.
    """
    for task in study.tasks:
        collect(study, task)
    units = [
        *training_units(study, on_gpu),
        *fitting_units(study),
        *watching_units(study),
        *gate_units(study),
        *dagger_units(study, on_gpu > 0),
        *fallback_units(study),
        *tube_units(study),
        *set_units(study),
    ]
    failed = do_units(study, units, workers)
    measure_cost(study)
    print(f"{out}: {pack(study.root, out)} units")
    if failed:
        raise UserError(f"{len(failed)} units are missing, the first {failed[0]}; the same command tries them again")


def figures(raw: Raw, tasks: tuple[str, ...]) -> dict[str, Any]:
    """Every number of the page, from raw episodes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TooFewWarning)  # a limit without enough episodes is infinite, which shows
        return {
            part: {"made": raw.made(source), **numbers}
            for part, (compute, source) in FIGURES.items()
            if raw.has(source) and (numbers := compute(raw, tasks))
        }


def main() -> None:
    """Run, or make the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    help_ = "pack: only keep what is done; by default run, then page"
    parser.add_argument("command", nargs="?", choices=("run", "pack", "page"), help=help_)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes side by side")
    parser.add_argument("--gpu", type=int, default=0, metavar="N", help="so many of the first trainings share the GPU")
    parser.add_argument("--raw", type=Path, default=KEPT, help=f"raw episodes in one file, {KEPT}")
    parser.add_argument("--out", type=Path, default=PAGE, help="page, figures and drawing, without the ending")
    parser.add_argument("--dry-run", action="store_true", help="all of it with tiny sizes, into a temporary folder")
    options = parser.parse_args()
    if options.workers < 1:
        raise UserError(f"--workers {options.workers} must be at least 1")
    if options.dry_run:
        with tempfile.TemporaryDirectory() as folder:
            dry_run(Path(folder), options.workers)
        return
    if options.command == "pack":
        print(f"{options.raw}: {pack(Study().root, options.raw)} units")
    if options.command in (None, "run"):
        run(Study(), options.workers, options.gpu, options.raw)
    if options.command in (None, "page"):
        make_page(read(options.raw), Study().tasks, options.out)


def dry_run(folder: Path, workers: int) -> None:
    """Run and make the page, with tiny sizes."""
    study = dataclasses.replace(DRY, root=folder / "runs", datasets=folder / "datasets")
    run(study, workers, 0, folder / "raw.xz")
    make_page(read(folder / "raw.xz"), study.tasks, folder / "safety")


def make_page(raw: Raw, tasks: tuple[str, ...], out: Path) -> None:
    """Write the figures and the page."""
    by_part = figures(raw, tasks)
    write_json(out.with_suffix(".json"), by_part, compact=True)
    write_page(out, by_part, tasks)


if __name__ == "__main__":
    with user_errors():
        main()

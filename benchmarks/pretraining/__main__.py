"""What pre-training of the cameras is worth, by how many demonstrations a policy has, at equal compute.

    python -m benchmarks.pretraining avoid_pixels datasets/avoid_pixels.zarr --out benchmarks/pretraining/raw.json.xz
    python -m benchmarks.pretraining pusht DATA.zarr --out benchmarks/pretraining/raw.json.xz [--imagenet WEIGHTS]
    python -m benchmarks.pretraining table --out benchmarks/pretraining/raw.json.xz

A policy has the actions of 10, 30 or 100 % of the demonstrations, which its seed draws. Declared before anything is
measured, with the defaults of every method:

* scratch: begins with random networks, and trains for all steps of the recipe;
* METHOD/all: begins with networks that were pre-trained on the images of all demonstrations, without their actions;
* METHOD/same: on the images of the policy's own demonstrations alone, which are the same where it has all of them;
* frozen: METHOD/all whose networks stay as they are, of the method whose features tell most of the state, in the mean;
* imagenet: begins with ResNet-18's weights, where a file is given; what they once cost is not counted.

All rows cost the CPU time of scratch. A third of it is pre-training. CPU seconds of a step, of pre-training by each
method and of training, are measured first on this machine, in turn, and kept; steps follow from them and are rounded to
tens. "minus scratch" is paired by seed and start, with an interval over both. Target: on AvoidPixels, at 10 %, a row of
METHOD/all or METHOD/same gains at least 0.10 of success, and the interval is above 0.

Probes: R^2 of the true state, by a linear function of the features, on frames of episodes that it was not fitted to.
The networks may have seen these frames, and never the numbers.

Every part is kept as soon as it is there, and the same command goes on.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmarks.common import keep_part, kept_parts, options, parsed
from benchmarks.pretraining.compute import Budget, costs
from benchmarks.pretraining.measures import gain, measured, probe_all
from benchmarks.pretraining.study import PART, TARGET, TASKS, TRAININGS, Study, rows_of
from benchmarks.pretraining.table import rows_table
from benchmarks.tables import parts_below
from robolearn import seeds
from robolearn.errors import user_errors
from robolearn.representation.registry import METHODS
from robolearn.training.device import choose_device

FRACTIONS, DRY_FRACTIONS = (0.1, 0.3, 1.0), (0.5, 1.0)  # of the demonstrations


def run_study(study: Study, fractions: tuple[float, ...]) -> None:
    """Do what is missing of a task."""
    cost = study.part("costs", lambda: costs(study))
    budget = Budget(study.task.train.steps, cost["step_s"])
    probes = probe_all(study, budget)
    best = max(METHODS, key=lambda method: float(np.mean(probes[method]["r2"])))
    for fraction in fractions:
        rows = rows_of(fraction, best, study.imagenet)
        found = {row.name: measured(study, row, fraction, budget) for row in rows}
        gains = {
            name: gain(study.task.number, one, found["scratch"]) for name, one in found.items() if name != "scratch"
        }
        keep_part(
            study.out,
            f"{PART}/{study.name}/{fraction:.0%}/minus scratch",
            {name: asdict(one) for name, one in gains.items()},
        )
        for name, one in gains.items():
            said = one.outcome(TARGET) if study.name == "avoid_pixels" and fraction == FRACTIONS[0] else ""
            print(f"{study.name}, {fraction:.0%}, {name} - scratch: {one:+.3f} {said}", flush=True)


def main() -> None:
    """Pre-train, train, measure what is missing, and print all of it."""
    parser = options(__doc__)
    parser.add_argument("task", choices=(*TASKS, "table"))
    parser.add_argument("data", type=Path, nargs="?", help="demonstrations with images")
    parser.add_argument("--fractions", type=float, nargs="+", default=list(FRACTIONS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(seeds.TRAININGS[:TRAININGS]))
    parser.add_argument("--imagenet", type=Path, help="torchvision's weights as .safetensors")
    parser.add_argument("--work", type=Path, default=Path("runs/pretraining"), help="folder of runs")
    args = parsed(parser)
    out = args.out or args.work / "results.json.xz"
    if args.task != "table":
        if args.data is None:
            parser.error("name the demonstrations")
        choose_device("cpu", threads=1)
        kept, fractions = (args.seeds[:1], DRY_FRACTIONS) if args.dry_run else (args.seeds, tuple(args.fractions))
        study = Study(args.task, args.data, args.work / args.task, out, tuple(kept), args.imagenet, args.dry_run)
        run_study(study, fractions)
    print("\n".join(rows_table(parts_below(kept_parts(out), PART))))


if __name__ == "__main__":
    with user_errors():
        main()

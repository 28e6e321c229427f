"""What pre-training of the cameras is worth, by how many demonstrations a policy has, at equal compute.

    python -m benchmarks.pretraining avoid_pixels datasets/avoid_pixels.zarr --out benchmarks/pretraining/raw.json.xz
    python -m benchmarks.pretraining pusht DATA.zarr --out benchmarks/pretraining/raw.json.xz [--imagenet WEIGHTS]
    python -m benchmarks.pretraining table --out benchmarks/pretraining/raw.json.xz

A policy has the actions of 10, 30 or 100 % of the demonstrations, which its seed draws. Declared before anything is
measured, with the defaults of every method; the best method is that whose features tell most of the state, in the mean:

* scratch: begins with random networks, and trains for all steps of the recipe;
* short: the same for as many steps as the pre-trained have, two thirds: with few demonstrations less may be more;
* METHOD/all: begins with networks that were pre-trained on the images of all demonstrations, without their actions;
* BEST/same: on the images of the policy's own demonstrations alone;
* frozen: BEST/all whose networks stay as they are;
* imagenet: begins with ResNet-18's weights, where a file is given; what they once cost is not counted.

All rows are measured at 10 %; scratch, short and BEST/all at 30 and 100 % too. All cost the CPU time of scratch, but
short, which costs less. A third of it is pre-training. CPU seconds of a step, of pre-training by each method and of
training, are measured first on this machine, in turn, and kept; steps follow from them and are rounded to tens.

Target: on AvoidPixels, at 10 %, BEST/all gains at least 0.10 of success over scratch, and the interval is above 0. One
row is judged, chosen without a look at its success, over five trainings; the others have three. Differences are paired
by seed and start, with Student's intervals over both.

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
from benchmarks.pretraining.measures import measured, probe_all
from benchmarks.pretraining.study import (
    CONFIRMED,
    DRY_FRACTIONS,
    FRACTIONS,
    PART,
    SCRATCH,
    SHORT,
    TASKS,
    Study,
    rows_of,
)
from benchmarks.pretraining.table import rows_table
from benchmarks.tables import parts_below
from benchmarks.trainings import gain
from robolearn import seeds
from robolearn.errors import UserError, user_errors
from robolearn.representation.registry import METHODS
from robolearn.training.device import choose_device


def run_study(study: Study, fractions: tuple[float, ...]) -> None:
    """Do what is missing of a task."""
    cost = study.part("costs", lambda: costs(study))
    if study.imagenet is not None and "imagenet" not in cost["step_s"]:
        raise UserError(f"{study.out}: costs were measured without --imagenet; choose another --out")
    budget = Budget(study.task.train.steps, cost["step_s"])
    probes = probe_all(study, budget)
    best = max(METHODS, key=lambda method: float(np.mean(probes[method]["r2"])))
    for fraction in fractions:
        rows = rows_of(best, study.imagenet, fewest=study.is_fewest(fraction))
        found = {row.name: measured(study, row, fraction, budget) for row in rows}
        for control in (SCRATCH, SHORT):
            gains = {
                name: gain(study.task.number, one, found[control.name])
                for name, one in found.items()
                if name not in (SCRATCH.name, control.name)
            }
            facts = {"best": f"{best}/all", **{name: asdict(one) for name, one in gains.items()}}
            keep_part(study.out, f"{PART}/{study.name}/{fraction:.0%}/minus {control.name}", facts)
            for name, one in gains.items():
                print(f"{study.name}, {fraction:.0%}, {name} - {control.name}: {one:+.3f}", flush=True)


def main() -> None:
    """Pre-train, train, measure what is missing, and print all of it."""
    parser = options(__doc__)
    parser.add_argument("task", choices=(*TASKS, "table"))
    parser.add_argument("data", type=Path, nargs="?", help="demonstrations with images")
    parser.add_argument("--fractions", type=float, nargs="+", default=list(FRACTIONS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(seeds.TRAININGS[:CONFIRMED]))
    parser.add_argument("--imagenet", type=Path, help="torchvision's weights as .safetensors")
    parser.add_argument("--work", type=Path, default=Path("runs/pretraining"), help="folder of runs")
    args = parsed(parser)
    out = args.out or args.work / "results.json.xz"
    if args.task != "table":
        if args.data is None:
            parser.error("name the demonstrations")
        choose_device("cpu", threads=1)
        kept, fractions = (args.seeds[:2], DRY_FRACTIONS) if args.dry_run else (args.seeds, tuple(args.fractions))
        study = Study(args.task, args.data, args.work / args.task, out, tuple(kept), args.imagenet, args.dry_run)
        run_study(study, fractions)
    print("\n".join(rows_table(parts_below(kept_parts(out), PART))))


if __name__ == "__main__":
    with user_errors():
        main()

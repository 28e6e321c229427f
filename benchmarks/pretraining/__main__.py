"""What pre-training of the cameras is worth, by how many demonstrations a policy has, at equal compute.

    python -m benchmarks.pretraining avoid_pixels datasets/avoid_pixels.zarr --out benchmarks/pretraining/raw.json.xz
    python -m benchmarks.pretraining pusht DATA.zarr --out benchmarks/pretraining/raw.json.xz [--imagenet WEIGHTS]
    python -m benchmarks.pretraining avoid_pixels datasets/avoid_pixels.zarr --out ... --seeds 0 2 4
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

What perfect eyes would be worth is measured by told.py.

Every part is kept as soon as it is there, and the same command goes on. Several may share the work by seeds, when costs
are measured. What depends on the best method is measured when all methods are probed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.common import kept_parts, options, parsed
from benchmarks.pretraining.compute import Budget, costs
from benchmarks.pretraining.contrasts import best_method
from benchmarks.pretraining.measures import measured, probe_all
from benchmarks.pretraining.study import (
    CONFIRMED,
    DRY_FRACTIONS,
    FRACTIONS,
    PART,
    TASKS,
    TRAININGS,
    Row,
    Study,
    rows_of,
    trainings_of,
)
from benchmarks.pretraining.table import rows_table
from benchmarks.tables import parts_below
from robolearn import seeds
from robolearn.errors import UserError, user_errors
from robolearn.training.device import choose_device


def run_study(studies: list[Study], fractions: tuple[float, ...]) -> None:
    """Do what is missing of a task, training by training."""
    first = studies[0]
    cost = first.part("costs", lambda: costs(first))
    if first.imagenet is not None and "imagenet" not in cost["step_s"]:
        raise UserError(f"{first.out}: costs were measured without --imagenet; choose another --out")
    budget = Budget(first.task.train.steps, cost["step_s"])
    for study in studies:
        probe_all(study, budget)
        run_rows(study, budget, fractions, lambda fewest: rows_of(None, first.imagenet, fewest=fewest))
    among = [study.seed for study in studies] if first.dry else seeds.TRAININGS[:TRAININGS]
    best = best_method(parts_below(kept_parts(first.out), PART), first.name, among)
    if best is None:
        print("what depends on the best method waits for the probes of other trainings; then call this again")
        return
    for study in studies:
        run_rows(study, budget, fractions, lambda fewest: rows_with_best(best, first.imagenet, fewest=fewest))


def rows_with_best(best: str, imagenet: Path | None, *, fewest: bool) -> list[Row]:
    """Those that are others when the best method is known."""
    before = rows_of(None, imagenet, fewest=fewest)
    return [row for row in rows_of(best, imagenet, fewest=fewest) if row not in before]


def run_rows(study: Study, budget: Budget, fractions: tuple[float, ...], rows: Callable[[bool], Iterable[Row]]) -> None:
    """Measure what is missing of a training."""
    for fraction in fractions:
        fewest = study.is_fewest(fraction)
        for row in rows(fewest):
            if study.seed in trainings_of(row, fewest=fewest):
                measured(study, row, fraction, budget)


def main() -> None:
    """Pre-train, train, measure what is missing, and print all of it."""
    parser = options(__doc__)
    parser.add_argument("task", choices=(*TASKS, "table"))
    parser.add_argument("data", type=Path, nargs="?", help="demonstrations with images")
    parser.add_argument("--fractions", type=float, nargs="+", default=list(FRACTIONS))
    chosen = list(seeds.TRAININGS[:CONFIRMED])
    parser.add_argument("--seeds", type=int, nargs="+", choices=chosen, default=chosen)
    parser.add_argument("--imagenet", type=Path, help="torchvision's weights as .safetensors")
    parser.add_argument("--work", type=Path, default=Path("runs/pretraining"), help="folder of runs")
    args = parsed(parser)
    out = args.out or args.work / "results.json.xz"
    if args.task != "table":
        if args.data is None:
            parser.error("name the demonstrations")
        choose_device("cpu", threads=1)
        kept, fractions = (args.seeds[:2], DRY_FRACTIONS) if args.dry_run else (args.seeds, tuple(args.fractions))
        same = (args.task, args.data, args.work / args.task, out)
        run_study([Study(*same, seed, args.imagenet, args.dry_run) for seed in kept], fractions)
    print("\n".join(rows_table(parts_below(kept_parts(out), PART))))


if __name__ == "__main__":
    with user_errors():
        main()

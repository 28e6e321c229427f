"""A policy that was trained on plain images of AvoidPixels, where they look "real": what translation regains.

    python -m benchmarks.translation datasets/avoid_pixels.zarr datasets/real.zarr \
        --out docs/results/lecture.json [--rows ROW ...] [--seeds SEED ...]

"Real" is the look of that name: other colors, textures, light, camera pose and noise. Its demonstrations begin
elsewhere than the plain ones, and translators see their images alone:

    python -m robolearn collect envs:robolearn/AvoidPixels-v0 --episodes 500 --seed 50000 --env.kwargs look real \
        --out datasets/real.zarr

Declared before anything is measured, with the defaults of every method, all by task success from the same starts.
Training s is one policy per row, and translators of its own, all with seed s:

* plain: trained plain, seen plain; lost: the same policies, seen real; the recipe jitters colors a little;
* jitter: trained plain with strong jitter of colors, any hue, seen real; jitter-plain: the same policies, seen plain;
* METHOD/demos: trained on translated demonstrations; METHOD/eyes: the plain policies behind a translator; both seen
  real, by cyclegan with resnet and dcgan, and by cut;
* real: trained on real demonstrations, labels and all.

Target, of cyclegan/demos alone, over five trainings of it and of its controls, three of the others: half of what the
look costs is regained, which is success less the mean of plain and lost, at least 0; it is above jitter; and labels are
kept. Differences are paired by seed and start, with Student's intervals over both. What the look costs has to be above
0.2 with its interval, or there is nothing to regain. Jitter is a fair control where jitter-plain is near plain.

Labels: how well a network that was trained on recorded images reads where the rows of obstacles stand, in images that
were recorded in other episodes and in translations to their look. Of a row they are kept where the correlation with
what is there is at least 0.9 of that in recorded images; of a translator where the row that is kept least is, over
trainings; and they are told where recorded images have 0.9 themselves. Most of the translated frames are of episodes
that the translator learned from, as those of translated demonstrations are; what `eyes` see is new.

A trial of the defaults, with the seed for tuning, is `--seeds 99 --rows cyclegan/labels dcgan/labels cut/labels`.

Every part is kept as soon as it is there, and the same command goes on. Several may share the work by seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import options, parsed
from benchmarks.translation.measures import labelled, measured
from benchmarks.translation.study import CONFIRMED, ROWS, Study, trainings_of
from robolearn import seeds
from robolearn.errors import UserError, user_errors
from robolearn.training.device import choose_device


def main() -> None:
    """Train, translate and measure what is missing."""
    parser = options(__doc__)
    parser.add_argument("plain", type=Path, help="plain demonstrations")
    parser.add_argument("real", type=Path, help="such that look real")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(CONFIRMED))
    parser.add_argument("--work", type=Path, default=Path("runs/translation"), help="folder of stores and runs")
    args = parsed(parser)
    choose_device("cpu", threads=1)
    for seed in args.seeds[:1] if args.dry_run else args.seeds:
        study = Study(args.plain, args.real, args.work, args.out, seed, args.dry_run)
        for row in rows_with(seed, args.rows):
            method, _, way = row.partition("/")
            if way == "labels":
                labelled(study, method)
            else:
                measured(study, row)


def rows_with(seed: int, rows: Sequence[str]) -> list[str]:
    """Those that are trained with a seed.

    Raises:
        UserError: It is none of theirs; with that for tuning nothing is rolled out.
    """
    if seed in seeds.TUNING and all(row.endswith("/labels") for row in rows):
        return list(rows)
    if seed not in CONFIRMED:
        raise UserError(f"seed {seed} is for none of these rows; choose from {', '.join(map(str, CONFIRMED))}")
    return [row for row in rows if seed in trainings_of(row)]


if __name__ == "__main__":
    with user_errors():
        main()

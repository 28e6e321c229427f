"""What is it worth to know where episodes end, and can it be learned? `robolearn plan` where a pole falls.

    python -m benchmarks.planning_ends --out docs/results/lecture.json

gymnasium's InvertedPendulum-v5: a cart pays 1 per step until its pole leans by more than 0.2 rad, which ends the
episode. Nothing else tells of it: a plan that goes on beyond the end looks as good as any. Declared before anything is
measured: five seeds of each way, 12 trials of at most 200 steps, with the defaults of the command. The same seed has
the same starts and the same random episode in all ways, and none of these had been looked at in this environment.

* learned: the ensemble learns where episodes end, as by default;
* given: a function says it, `--termination`;
* never: a function says that plans go on for ever, as they did before ends were learned;
* simulator: the environment itself as the model, with the same search.

Reported: the mean return of the second half of the trials, and what each way has more of it than *never*, paired by
seed. Intervals are Student's, over seeds. About three quarters of an hour of one core.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import options, parsed
from benchmarks.planning import SEEDS, Study, Task, late_mean
from robolearn.errors import user_errors
from robolearn.types import Array

PART, TASK = "ends", Task("InvertedPendulum-v5", 12, steps=200)
LARGEST, ANGLE = 0.2, 1  # the angle [rad] beyond which the environment ends an episode, and its number in the state
WAYS: dict[str, dict[str, Any]] = {
    "never": {"termination": "benchmarks.planning_ends:never"},
    "learned": {},
    "given": {"termination": "benchmarks.planning_ends:fallen"},
    "simulator": {"model": "simulator"},
}


def fallen(before: Array, actions: Array, after: Array) -> Array:
    """Where the environment ends an episode."""
    return np.abs(after[..., ANGLE]) > LARGEST


def never(before: Array, actions: Array, after: Array) -> Array:
    """That it ends nowhere."""
    return np.zeros(after.shape[:-1], bool)


def main() -> None:
    """Measure what is not there yet, and show."""
    parser = options(__doc__)
    parser.add_argument("--work", type=Path, default=Path("runs/planning_ends"), help="folder of runs")
    args = parsed(parser)
    runs = Study(PART, TASK, WAYS, SEEDS, args.work, args.dry_run).runs(args.out)
    for way, each in runs.items():
        print(f"{way}: {late_mean(each):.1f}")


if __name__ == "__main__":
    with user_errors():
        main()

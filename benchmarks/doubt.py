"""Kernels, and members drawn of one training: what they tell of failures, beside an ensemble, dropout and Laplace.

    python -m benchmarks.doubt datasets/push.zarr --out docs/results/lecture.json

Declared before anything is measured. Policies are those of the recipe push, of three training seeds. What doubts them:

* ensemble: disagreement of five trainings;
* swag: disagreement of one training and four draws of the Gaussian that its weights pass through;
* dropout, laplace, gp: of the first of the five trainings alone; time: the number of the step, as a control.

The first of the five acts, and of swag the training that was drawn from. A threshold is calibrated at alpha 0.1 on the
successes of 200 episodes, and judged on others: 200 as they were demonstrated, and 200 under each change, that of the
goal's place, of the mass, and of what a sensor shows, which were chosen on other seeds for another policy (see
`safety`). Both are judged together, change by change, by the largest score up to the length of the shortest episode,
which is what is kept of an episode. Reported: the area under the curve of failures found and false alarms, and balanced
accuracy at the threshold, each the mean over changes; intervals are percentiles over trainings, which with three of
them cover less than they say.

What it costs: trainings, CPU seconds of fitting, and CPU time of a look at one observation on one thread [ms]. A change
under which no episode fails, or none succeeds, tells nothing and is left out.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.common import options, part
from benchmarks.safety.study import ALPHA, NUM_SAMPLES, TASKS, place
from benchmarks.trainings import DRY, train_once
from robolearn import seeds
from robolearn.errors import user_errors
from robolearn.policies.ensemble import Ensemble
from robolearn.rollout.execution import Execution
from robolearn.stats.bootstrap import bootstrap
from robolearn.stats.value import Estimate
from robolearn.training.config import TrainConfig
from robolearn.training.embeddings import embed_demonstrations
from robolearn.training.recipes import RECIPES
from robolearn.training.run import Run
from robolearn.training.swag import SwagConfig
from robolearn.trust.calibrate import watch
from robolearn.trust.conformal.thresholds import threshold
from robolearn.trust.detection import detection
from robolearn.trust.gate import Gate
from robolearn.trust.guard import time_gate
from robolearn.trust.scores.fitted import fit_scores
from robolearn.trust.scores.registry import find_score
from robolearn.types import Trajectory

PART, TASK = "doubt", "push"
TRAININGS, MEMBERS, EPISODES, REPEATS = 3, 5, 200, 300
APART = 10  # seeds between two trainings, whose members have the following ones
CHANGES = tuple(TASKS[TASK].shifts)
KNOWN = "calibration"
NUMBERS = ("roc_auc", "balanced_accuracy")


@dataclass(frozen=True)
class Group:
    """Policies that act and are doubted, and the scores that doubt them.

    Attributes:
        options: Of the training.
        scores: Name of a way -> its score.
    """

    options: Mapping[str, Any]
    scores: Mapping[str, str]


ALONE = {name: name for name in ("dropout", "laplace", "gp", "time")}
GROUPS = {
    "trained": Group({}, {"ensemble": "disagreement", **ALONE}),
    "drawn": Group({"swag": SwagConfig(0.25)}, {"swag": "disagreement"}),
}


def recipe(group: Group, *, dry: bool) -> TrainConfig:
    """Options of a training with all its members."""
    tiny = {**DRY, "steps": 8} if dry else {}  # as many as members can be drawn from
    return dataclasses.replace(RECIPES[TASK], num_members=MEMBERS, threads=1, **group.options, **tiny)


def measure(name: str, seed: int, data: Path, work: Path, *, dry: bool) -> dict[str, Any]:
    """What each way to doubt the policy of one training tells, and what it costs."""
    group = GROUPS[name]
    run = train_once(name, recipe(group, dry=dry), seeds.TRAININGS[APART * seed], data, work, dry=False)
    ensemble, execution = Ensemble.load(run.members()), Execution(run.config().exec_horizon)
    fitted, fitted_s = fit(run, ensemble, tuple(group.scores.values()), seed)
    count = 6 if dry else EPISODES

    def rolled(change: str, first: int) -> list[Trajectory]:
        return watch(
            ensemble,
            place(TASK, change),
            range(count),
            names=tuple(group.scores.values()),
            num_samples=NUM_SAMPLES,
            execution=execution,
            seed=first,
            fitted=fitted,
        )

    episodes = {KNOWN: rolled("none", seeds.CALIBRATION.start)}
    episodes |= {change: rolled(change, seeds.EVALUATION.start) for change in ("none", *CHANGES)}
    look = partial(time_look, ensemble, fitted, episodes["none"][0], execution.period, 2 if dry else REPEATS)
    return {
        "success": {what: [bool(t.success) for t in each] for what, each in episodes.items()},
        "largest": {way: largest(score, episodes) for way, score in group.scores.items()},
        "fitted_s": {way: fitted_s.get(score, 0.0) for way, score in group.scores.items()},
        "look_ms": {way: look(score) for way, score in group.scores.items()},
    }


def time_look(
    ensemble: Ensemble, fitted: Mapping[str, nn.Module], trajectory: Trajectory, period: int, repeats: int, score: str
) -> float:
    """Median CPU time of a score at one replanning [ms]."""
    gate = Gate(score, NUM_SAMPLES, 1.0, 1.0)
    return time_gate(gate, ensemble, fitted, trajectory, period, repeats)["cpu_ms"]


def largest(score: str, episodes: Mapping[str, Sequence[Trajectory]]) -> dict[str, list[float]]:
    """The largest score of each episode, up to the length of the shortest of all."""
    horizon = min(len(t.signals[score]) for each in episodes.values() for t in each)
    return {what: [float(t.signals[score][:horizon].max()) for t in each] for what, each in episodes.items()}


def fit(run: Run, ensemble: Ensemble, names: Sequence[str], seed: int) -> tuple[dict[str, nn.Module], dict[str, float]]:
    """What the scores compare with, fitted to the demonstrations, and the CPU seconds that each took."""
    fitted, seconds = {}, {}
    for name in names:
        if find_score(name).fit is None:
            continue
        began = time.process_time()
        embedded: Any = embed_demonstrations(run.config(), run.data(), ensemble, find_score(name).num_windows)
        fitted |= fit_scores([name], *embedded, seed=seed)
        seconds[name] = time.process_time() - began
    return fitted, seconds


def judge(run: Mapping[str, Any], way: str, change: str) -> dict[str, float] | None:
    """Numbers of a way under a change, with a threshold of other episodes; None where all succeed or all fail."""
    scores, succeeded = (
        {what: np.array(numbers) for what, numbers in one.items()} for one in (run["largest"][way], run["success"])
    )
    judged, success = (np.concatenate([one["none"], one[change]]) for one in (scores, succeeded))
    if success.all() or not success.any() or not succeeded[KNOWN].any():
        return None
    limit = threshold(scores[KNOWN][succeeded[KNOWN]], ALPHA)
    found = detection(judged[:, None], np.ones(len(judged), int), success, limit, num_resamples=2)
    return {number: getattr(found, number).value for number in NUMBERS}


def way_mean(runs: Sequence[Mapping[str, Any]], way: str, number: str) -> Estimate | None:
    """A number of a way, the mean over changes, with an interval over trainings; None where nothing tells it."""
    each = [[judged[number] for change in CHANGES if (judged := judge(run, way, change))] for run in runs]
    means = np.array([np.mean(numbers) for numbers in each if numbers])
    return bootstrap(means, lambda drawn: drawn.mean(-1)) if len(means) else None


def main() -> None:
    """Measure what is not there yet, and show."""
    parser = options(__doc__)
    parser.add_argument("data", type=Path, help="demonstrations")
    parser.add_argument("--work", type=Path, default=Path("runs/doubt"), help="folder of runs")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name, group in GROUPS.items():
        runs = []
        for seed in range(1 if args.dry_run else TRAININGS):
            make = partial(measure, name, seed, args.data, args.work, dry=args.dry_run)
            runs.append(part(args.out, f"{PART}/{name}/{seed}", make))
        for way in group.scores:
            area = way_mean(runs, way, NUMBERS[0])
            print(f"{way}: area under the curve {'unknown' if area is None else format(area, '.3f')}", flush=True)


if __name__ == "__main__":
    with user_errors():
        main()

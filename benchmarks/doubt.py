"""Kernels, and members drawn of one training: what they tell of failures, beside an ensemble, dropout and Laplace.

    python -m benchmarks.doubt datasets/push.zarr --out docs/results/lecture.json

Declared before anything is measured. Policies are those of the recipe push, of three training seeds. What doubts them:

* ensemble: disagreement of five trainings, the first of which acts;
* swag: disagreement of one training, which acts, and four draws of the Gaussian that its weights pass through;
* dropout, laplace, gp: of whichever acts alone, in both groups; time: the number of the step, as a control.

A threshold is calibrated at alpha 0.1 on the successes of 200 episodes, and judged on others: 200 as they were
demonstrated, and 200 under each change. Changes were chosen on seeds for selection, so that 10 to 90 % of a training's
episodes fail, before any score was looked at; the goal's place is not among them, as the policy does not see the goal.
What is kept of an episode is its largest score up to the length of the shortest one. Reported, each the mean over
changes:

* all: area under the curve of failures found and false alarms, of the episodes with the change and without;
* within: the same of those with the change alone, where noticing the change is not enough;
* balanced accuracy at the threshold, of all.

A change counts where 10 episodes fail and 10 succeed under it in every training of every group, so that all means are
over the same changes. Intervals are Student's, over trainings. Ways in one group are compared by their differences,
paired by training. What it costs: trainings, CPU seconds of fitting, and CPU time of a look at one observation on one
thread [ms].
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

from benchmarks.common import options, parsed, part
from benchmarks.safety.study import ALPHA, NUM_SAMPLES
from benchmarks.trainings import DRY, facts_of, train_once
from robolearn import seeds
from robolearn.errors import user_errors
from robolearn.policies.ensemble import Ensemble
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.stats.ranks import roc_auc
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
ENV = "envs:robolearn/Push-v0"
CHANGES: dict[str, dict[str, Any]] = {
    "sensor bias": {"bias": 0.01},
    "latency": {"latency": 4},
    "mass": {"mass": 30.0},
    "friction": {"friction": 0.05},
}
KNOWN = "calibration"
FEWEST = 10  # failures and successes that a change shows something by
NUMBERS = ("all", "within", "balanced accuracy")


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
    "drawn": Group({"swag": SwagConfig(0.25)}, {"swag": "disagreement", **ALONE}),
}


def recipe(group: Group, *, dry: bool) -> TrainConfig:
    """Options of a training with all its members."""
    tiny = {**DRY, "steps": 8} if dry else {}  # as many as members can be drawn from
    return dataclasses.replace(RECIPES[TASK], num_members=MEMBERS, threads=1, **group.options, **tiny)


def measure(group: Group, run: Run, seed: int, count: int, *, dry: bool) -> dict[str, Any]:
    """What each way to doubt the policy of one training tells in so many episodes, and what it costs."""
    ensemble, execution = Ensemble.load(run.members()), Execution(run.config().exec_horizon)
    fitted, fitted_s = fit(run, ensemble, tuple(group.scores.values()), seed)

    def rolled(change: str, first: int) -> list[Trajectory]:
        return watch(
            ensemble,
            EnvConfig(ENV, CHANGES.get(change, {})),
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


def telling(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Changes under which enough episodes fail and enough succeed, in all of these trainings."""

    def tells(succeeded: Sequence[bool]) -> bool:
        return min(sum(succeeded), len(succeeded) - sum(succeeded)) >= FEWEST

    return [change for change in CHANGES if all(tells(run["success"][change]) for run in runs)]


def judge(run: Mapping[str, Any], way: str, change: str) -> dict[str, float]:
    """Numbers of a way under a change that tells, with a threshold of other episodes."""
    scores, succeeded = (
        {what: np.array(numbers) for what, numbers in one.items()} for one in (run["largest"][way], run["success"])
    )
    judged, success = (np.concatenate([one["none"], one[change]]) for one in (scores, succeeded))
    limit = threshold(scores[KNOWN][succeeded[KNOWN]], ALPHA)
    found = detection(judged[:, None], np.ones(len(judged), int), success, limit, num_resamples=2)
    within = roc_auc(scores[change], ~succeeded[change])
    return dict(zip(NUMBERS, (found.roc_auc.value, within, found.balanced_accuracy.value), strict=True))


def means(runs: Sequence[Mapping[str, Any]], way: str, changes: Sequence[str]) -> dict[str, np.ndarray]:
    """Numbers of a way, the mean over changes, training by training."""
    judged = [[judge(run, way, change) for change in changes] for run in runs]
    return {number: np.array([np.mean([one[number] for one in each]) for each in judged]) for number in NUMBERS}


def main() -> None:
    """Measure what is not there yet, and show."""
    parser = options(__doc__)
    parser.add_argument("data", type=Path, help="demonstrations")
    parser.add_argument("--work", type=Path, default=Path("runs/doubt"), help="folder of runs")
    args = parsed(parser)
    torch.set_num_threads(1)
    count, trainings = (6, 2) if args.dry_run else (EPISODES, TRAININGS)
    for name, group in GROUPS.items():
        for seed in range(trainings):
            first = seeds.TRAININGS[APART * seed]
            run = train_once(name, recipe(group, dry=args.dry_run), first, args.data, args.work, dry=False)
            asked = facts_of([run], seeds.EVALUATION[:count]) | {"changes": CHANGES, "ways": list(group.scores)}
            make = partial(measure, group, run, seed, count, dry=args.dry_run)
            found = part(args.out, f"{PART}/{name}/{seed}", make, asked)
            failed = ", ".join(f"{what} {each.count(False)}" for what, each in found["success"].items())
            print(f"{name} {seed}, failures of {count}: {failed}", flush=True)


if __name__ == "__main__":
    with user_errors():
        main()

"""Kernels, and members drawn of one training: what they tell of failures, beside an ensemble, dropout and Laplace.

    python -m benchmarks.doubt datasets/push.zarr --out docs/results/lecture.json

Declared before anything is measured. Policies are those of the recipe push, of three training seeds. In each one policy
acts, that of a training whose weights pass through a Gaussian, and all that may doubt it look on:

* ensemble: disagreement of it and four other trainings; swag: of it and four draws of that Gaussian;
* dropout: disagreement under its own masks;
* laplace, gp: a linear and a kernel regression of the demonstrated chunks, on the observations as they are, since the
  policy sees no images: distances from the demonstrations, whatever the policy.

A threshold is calibrated at alpha 0.1 on the successes of 200 episodes, and judged on others: 200 as they were
demonstrated, and 200 under each change. Changes were chosen on seeds for selection, so that 10 to 90 % of a training's
episodes fail, before any score was looked at; the goal's place is not among them, as the policy does not see the goal.
What is kept of an episode is its largest score up to the length of the shortest one, so that its length tells nothing.
Reported, each the mean over changes:

* all: area under the curve of failures found and false alarms, of the episodes with the change and without;
* within: the same of those with the change alone, where noticing the change is not enough;
* balanced accuracy at the threshold, of all.

A change counts where 10 episodes fail and 10 succeed under it in every training, so that all means are over the same
changes. Intervals are Student's over trainings, of these starts. Ways are compared with the ensemble by differences,
paired by training and episode. What it costs: trainings, CPU seconds of fitting, and CPU time of a look at one
observation on one thread [ms].
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
    """Who looks on beside the policy that acts.

    Attributes:
        options: Of their training.
        ways: Name of a way to doubt -> its score.
    """

    options: Mapping[str, Any]
    ways: Mapping[str, str]


GROUPS = {
    "drawn": Group(
        {"swag": SwagConfig(0.25)}, {"swag": "disagreement", **{name: name for name in ("dropout", "laplace", "gp")}}
    ),
    "trained": Group({}, {"ensemble": "disagreement"}),
}
WAYS = ("ensemble", *GROUPS["drawn"].ways)


def recipe(group: Group, *, dry: bool) -> TrainConfig:
    """Options of a training with all its members."""
    tiny = {**DRY, "steps": 8} if dry else {}  # as many as members can be drawn from
    return dataclasses.replace(RECIPES[TASK], num_members=MEMBERS, threads=1, **group.options, **tiny)


def measure(runs: Mapping[str, Run], seed: int, count: int, *, dry: bool) -> dict[str, Any]:
    """What each way to doubt the policy of one training tells in so many episodes, and what it costs."""
    acting = runs["drawn"].members()[0]
    execution = Execution(runs["drawn"].config().exec_horizon)
    episodes, costs = {}, {}
    for name, group in GROUPS.items():
        ensemble = Ensemble.load([acting, *runs[name].members()[1:]])
        fitted, fitted_s = fit(runs["drawn"], ensemble, tuple(group.ways.values()), seed)
        episodes[name] = roll_out_all(ensemble, execution, group, fitted, count)
        start = episodes[name]["none"][0]
        look = partial(time_look, ensemble, fitted, start, execution.period, 2 if dry else REPEATS)
        for way, score in group.ways.items():
            costs[way] = {"fitted_s": fitted_s.get(score, 0.0), "look_ms": look(score)}
    success = [
        {what: [bool(t.success) for t in each] for what, each in of_group.items()} for of_group in episodes.values()
    ]
    assert all(one == success[0] for one in success), "who looks on changes nothing"
    largest = largest_scores(episodes)
    return {
        "success": success[0],
        "ways": {way: {**numbers, "largest": largest[way]} for way, numbers in costs.items()},
    }


def roll_out_all(
    ensemble: Ensemble, execution: Execution, group: Group, fitted: Mapping[str, nn.Module], count: int
) -> dict[str, list[Trajectory]]:
    """Episodes to calibrate on, those as they were demonstrated, and those under each change, with scores."""

    def rolled(change: str, first: int) -> list[Trajectory]:
        trajectories = watch(
            ensemble,
            EnvConfig(ENV, CHANGES.get(change, {})),
            range(count),
            names=tuple(group.ways.values()),
            num_samples=NUM_SAMPLES,
            execution=execution,
            seed=first,
            fitted=fitted,
        )
        assert not any(t.broken for t in trajectories), "every episode counts"
        return trajectories

    known = {KNOWN: rolled("none", seeds.CALIBRATION.start)}
    return known | {change: rolled(change, seeds.EVALUATION.start) for change in ("none", *CHANGES)}


def time_look(
    ensemble: Ensemble, fitted: Mapping[str, nn.Module], trajectory: Trajectory, period: int, repeats: int, score: str
) -> float:
    """Median CPU time of a score at one replanning [ms]."""
    gate = Gate(score, NUM_SAMPLES, 1.0, 1.0)
    return time_gate(gate, ensemble, fitted, trajectory, period, repeats)["cpu_ms"]


def largest_scores(episodes: Mapping[str, Mapping[str, Sequence[Trajectory]]]) -> dict[str, dict[str, list[float]]]:
    """Way -> the largest score of each episode, up to the length of the shortest of all."""
    largest = {}
    for name, group in GROUPS.items():
        for way, score in group.ways.items():
            horizon = min(len(t.signals[score]) for each in episodes[name].values() for t in each)
            largest[way] = {
                what: [float(t.signals[score][:horizon].max()) for t in each] for what, each in episodes[name].items()
            }
    return largest


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
        {what: np.array(numbers) for what, numbers in one.items()}
        for one in (run["ways"][way]["largest"], run["success"])
    )
    judged, success = (np.concatenate([one["none"], one[change]]) for one in (scores, succeeded))
    limit = threshold(scores[KNOWN][succeeded[KNOWN]], ALPHA)
    metrics = detection(judged[:, None], np.ones(len(judged), int), success, limit, num_resamples=2)
    within = roc_auc(scores[change], ~succeeded[change])
    return dict(zip(NUMBERS, (metrics.roc_auc.value, within, metrics.balanced_accuracy.value), strict=True))


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
    for seed in range(trainings):
        first = seeds.TRAININGS[APART * seed]
        runs = {
            name: train_once(name, recipe(group, dry=args.dry_run), first, args.data, args.work, dry=False)
            for name, group in GROUPS.items()
        }
        asked = facts_of(list(runs.values()), seeds.EVALUATION[:count]) | {"changes": CHANGES}
        make = partial(measure, runs, seed, count, dry=args.dry_run)
        training = part(args.out, f"{PART}/{seed}", make, asked)
        failed = ", ".join(f"{what} {each.count(False)}" for what, each in training["success"].items())
        print(f"training {seed}, failures of {count}: {failed}", flush=True)


if __name__ == "__main__":
    with user_errors():
        main()

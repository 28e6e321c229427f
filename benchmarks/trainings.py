"""Several trainings of one recipe, and what they reach from the same starts: means with intervals over both."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import counts
from robolearn import train
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.policy import Policy
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.rollout.roll_out import roll_out
from robolearn.stats.bootstrap import grouped_mean, grouped_share
from robolearn.stats.margins import CrossedMean
from robolearn.stats.value import Estimate
from robolearn.training.config import TrainConfig
from robolearn.training.run import Run
from robolearn.types import Trajectory

DRY: dict[str, Any] = {"steps": 2, "batch_size": 8, "backbone": MLPConfig(width=32)}

Number = Callable[[Trajectory], bool | float]
"""What of an episode is told."""

Change = Callable[[int, Policy], object]
"""What is done with the policy of a training, by its number, before it is rolled out."""

NUMBERS: dict[str, Number] = {
    "success": lambda t: t.success,
    "score": lambda t: t.max_score,
    "final_score": lambda t: t.final_score,
}


def train_once(name: str, cfg: TrainConfig, seed: int, data: Path | tuple[Path, ...], runs: Path, *, dry: bool) -> Run:
    """Train a recipe on a store, or on several; see `train_to_the_end`."""
    dataset = dataclasses.replace(cfg.dataset, path=data if isinstance(data, tuple) else (data,))
    cfg = dataclasses.replace(cfg, dataset=dataset, seed=seed, out=runs / f"{name}-{seed}", wandb=False)
    return train_to_the_end(dataclasses.replace(cfg, **DRY) if dry else cfg)


def train_to_the_end(cfg: TrainConfig) -> Run:
    """Train in ``cfg.out``, or go on where a run was stopped; one that is complete is not trained again.

    Raises:
        KeyboardInterrupt: It was stopped, so that there is nothing to measure.
    """
    assert cfg.out is not None
    run = train(cfg, resume=Run(cfg.out).exists())
    if not run.is_complete():
        raise KeyboardInterrupt
    return run


def facts_of(runs: Sequence[Run], episodes: range) -> dict[str, Any]:
    """What a number of these trainings in these episodes depends on, for `common.part`."""
    return {
        "seeds": [run.config().seed for run in runs],
        "steps": runs[0].config().steps,
        "demonstrations": [run.data().content_hash for run in runs],
        "starts_from": episodes.start,
        "starts": len(episodes),
    }


def unchanged(number: int, policy: Policy) -> None:
    """Do nothing."""


def measure(
    runs: Sequence[Run],
    env: EnvConfig,
    episodes: range,
    numbers: Mapping[str, Number] = NUMBERS,
    change: Change = unchanged,
) -> dict[str, Any]:
    """Roll the last checkpoints out: numbers over trainings and starts, and those of every episode [s, c].

    Args:
        runs: The trainings.
        env: Where.
        episodes: Seeds of the episodes.
        numbers: What of an episode is told.
        change: Of each policy.
    """
    rolled = []
    for number, run in enumerate(runs):
        policy, execution = Policy.load(run.checkpoint("last")), Execution(run.config().exec_horizon)
        change(number, policy)
        rolled.append(roll_out(policy, env, range(len(episodes)), execution=execution, seed=episodes.start))
    return {"env": env.id, **summarize(rolled, numbers)}


def summarize(rolled: Sequence[Sequence[Trajectory]], numbers: Mapping[str, Number]) -> dict[str, Any]:
    """Name -> mean of a number of the episodes of all trainings, with its interval; and the numbers themselves."""
    starts = [[t.start for t in trajectories] for trajectories in rolled]
    assert all(of_one == starts[0] for of_one in starts), "trainings meet the same starts"
    assert len(set(starts[0])) == len(starts[0]), "each start is another one"
    assert not any(t.broken for trajectories in rolled for t in trajectories), "every episode counts"
    values = {name: [[number(t) for t in each] for each in rolled] for name, number in numbers.items()}
    return {name: asdict(mean(np.array(rows))) for name, rows in values.items()} | {"episodes": values}


def mean(values: np.ndarray) -> Estimate:
    """Of truth values or numbers [s, c], which are from 0 to 1.

    Of several trainings by Student's interval: a bootstrap of three never reaches beyond them.
    """
    if len(values) == 1:
        return grouped_share(values.astype(float), values.size) if values.dtype == bool else grouped_mean(values)
    estimate = CrossedMean.from_values(values.astype(float), values.size).estimate()
    return dataclasses.replace(estimate, low=max(estimate.low, 0.0), high=min(estimate.high, 1.0))


def gain(number: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Estimate:
    """A number of some trainings less that of others, paired by seed and start, of the seeds that both have.

    Student's interval, as a bootstrap of three trainings never reaches beyond them.

    Args:
        number: Its name.
        one: What `summarize` gives of some trainings.
        other: Of trainings of the same seeds in the same order.
    """
    own, theirs = (dict(enumerate(np.array(measured["episodes"][number]))) for measured in (one, other))
    gained = gain_by_training(own, theirs)
    assert gained is not None, "both have a training"
    return gained


ByTraining = Mapping[Any, np.ndarray]
"""Seed -> a truth value or number of every episode [c] of that training."""


def trainings_in(parts: Mapping[str, Any], row: str, seeds: Iterable[int]) -> dict[str, Any]:
    """Seed -> what is kept of a row's training under "ROW/SEED"; what a dry run left counts in dry runs alone."""
    kept = {str(seed): parts.get(f"{row}/{seed}") for seed in seeds}
    return {seed: part for seed, part in kept.items() if part is not None and counts(part)}


def by_training(kept: Mapping[str, Any], number: str) -> ByTraining:
    """A number of all episodes, of what `summarize` gives of each training by itself."""
    return {seed: np.array(part["episodes"][number][0]) for seed, part in kept.items()}


def mean_over_trainings(each: ByTraining) -> Estimate:
    """`mean` of a number of all trainings."""
    return mean(np.stack(list(each.values())))


def gain_by_training(own: ByTraining, *others: ByTraining) -> Estimate | None:
    """`gain` over the mean of others, of the trainings that all of them have; None where there is none."""
    common = [seed for seed in own if all(seed in other for other in others)]
    if not common:
        return None
    first, *rest = (np.stack([one[seed] for seed in common]).astype(float) for one in (own, *others))
    return CrossedMean.from_values(first - np.mean(rest, axis=0), first.size).estimate()


def line(measured: Mapping[str, Any]) -> str:
    """The environment and the means, for people."""
    means = {name: value for name, value in measured.items() if isinstance(value, dict) and "value" in value}
    parts = [f"{name} {value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]" for name, value in means.items()]
    return " ".join([measured["env"], *parts])

"""What the numbers of all parts say: the best method, and what a row gains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.pretraining.study import CONFIRMED, FRACTIONS, SCRATCH, TASKS, TRAININGS
from benchmarks.trainings import ByTraining, by_training, gain_by_training, trainings_in
from robolearn import seeds
from robolearn.representation.registry import METHODS
from robolearn.stats.value import Estimate

Parts = Mapping[str, Any]
UNTRAINED = "untrained"


def probes(parts: Parts, task: str, among: Sequence[int] = seeds.TRAININGS[:TRAININGS]) -> dict[str, np.ndarray]:
    """What is probed -> R^2 of each number of the state [s, d], of what has all trainings; of parts below PART."""
    kept = {name: trainings_in(parts, f"{task}/probe/{name}", among) for name in (UNTRAINED, *METHODS)}
    return {
        name: np.array([part["r2"] for part in each.values()]) for name, each in kept.items() if len(each) == len(among)
    }


def best_method(parts: Parts, task: str, among: Sequence[int] = seeds.TRAININGS[:TRAININGS]) -> str | None:
    """That whose features tell most of the state, in the mean; None while a method is not probed."""
    told = {name: float(each.mean()) for name, each in probes(parts, task, among).items() if name != UNTRAINED}
    return max(told, key=lambda name: told[name]) if len(told) == len(METHODS) else None


def row(parts: Parts, task: str, share: str, name: str) -> dict[str, Any]:
    """Seed -> what is kept of a row's training."""
    return trainings_in(parts, f"{task}/{share}/{name}", seeds.TRAININGS[:CONFIRMED])


def numbers(parts: Parts, task: str, share: str, name: str) -> ByTraining:
    """Success or score of a row."""
    return by_training(row(parts, task, share, name), TASKS[task].number)


def minus(parts: Parts, task: str, share: str, name: str, control: str) -> Estimate | None:
    """What a row gains over another one; None where they share no training."""
    return gain_by_training(*(numbers(parts, task, share, one) for one in (name, control)))


def judged_gain(parts: Parts) -> tuple[str, Estimate] | None:
    """The best method on AvoidPixels and what it gains with the fewest demonstrations; None until that is complete."""
    task, share = next(iter(TASKS)), f"{FRACTIONS[0]:.0%}"
    best = best_method(parts, task)
    if best is None or any(len(row(parts, task, share, name)) < CONFIRMED for name in (f"{best}/all", SCRATCH.name)):
        return None
    gained = minus(parts, task, share, f"{best}/all", SCRATCH.name)
    assert gained is not None, "both have all trainings"
    return best, gained

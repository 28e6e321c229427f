"""What the numbers of all parts say: what is regained, and whether labels are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.common import is_dry
from benchmarks.translation.study import KINDS, LABELS_KEPT, ROWS, WAYS, trainings_of
from robolearn.stats.margins import CrossedMean
from robolearn.stats.student import student_mean
from robolearn.stats.value import Estimate, Outcome

Successes = Mapping[str, np.ndarray]
"""Seed -> success [c] in every episode of that training."""


def trainings(parts: Mapping[str, Any], row: str) -> dict[str, Any]:
    """Seed -> what is kept of a row, of parts below PART; what a dry run left is nothing."""
    kept = {str(seed): parts.get(f"{row}/{seed}") for seed in trainings_of(row)}
    return {seed: part for seed, part in kept.items() if part is not None and not is_dry(part)}


def successes(parts: Mapping[str, Any]) -> dict[str, Successes]:
    """Row -> its successes, of the rows that are measured, of parts below PART."""
    found = {}
    for row in ROWS:
        if not row.endswith("/labels") and (kept := trainings(parts, row)):
            found[row] = {seed: np.array(part["episodes"]["success"][0], float) for seed, part in kept.items()}
    return found


def minus(success: Mapping[str, Successes], row: str, *others: str) -> Estimate | None:
    """A row less the mean of others, of the trainings that all of them have; None where there is none."""
    names = (row, *others)
    if not {*names} <= {*success}:
        return None
    common = [seed for seed in success[row] if all(seed in success[name] for name in names)]
    if not common:
        return None
    own, *theirs = (np.stack([success[name][seed] for seed in common]) for name in names)
    return CrossedMean.of(own - np.mean(theirs, axis=0), own.size).estimate()


@dataclass(frozen=True)
class Labels:
    """How well the rows of obstacles are read, one translator per training.

    Attributes:
        correlation: Of the row that is read worst, in recorded images and in translated ones, mean over trainings.
        explained: R^2 of the same.
        margin: The correlation in translations less LABELS_KEPT of that in recorded images, of the row with the least
            of that, over trainings. Who reads the same from all translations reads nothing, a correlation of 0.
        n: Trainings.
    """

    correlation: tuple[float, float]
    explained: tuple[float, float]
    margin: Estimate
    n: int

    @property
    def kept(self) -> Outcome | None:
        """Whether translations show what they are labeled; None where recorded images are read too badly to tell."""
        return self.margin.outcome(0.0) if self.correlation[0] >= LABELS_KEPT else None


def labels_of(parts: Mapping[str, Any], method: str) -> dict[str, Labels]:
    """Direction -> how well labels are read, of parts below PART; nothing where that is not measured."""
    kept = list(trainings(parts, f"{method}/labels").values())
    return {way: labels_in([one[way] for one in kept]) for way in WAYS} if kept else {}


def labels_in(read: Sequence[Mapping[str, Any]]) -> Labels:
    """The same of one direction, of what is kept of each training."""

    def worst(number: str) -> tuple[float, float]:
        recorded, translated = (float(np.mean([np.min(one[kind][number]) for one in read])) for kind in KINDS)
        return recorded, translated

    recorded, translated = (np.array([one[kind]["correlation"] for one in read]) for kind in KINDS)
    margin = (np.nan_to_num(translated) - LABELS_KEPT * recorded).min(1)
    return Labels(worst("correlation"), worst("explained"), student_mean(margin), len(read))

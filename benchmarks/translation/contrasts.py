"""What the numbers of all parts say: what is regained, and whether labels are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.trainings import ByTraining, by_training, gain_by_training, trainings_in
from benchmarks.translation.study import KINDS, LABELS_KEPT, ROWS, WAYS, trainings_of
from robolearn.stats.student import student_mean
from robolearn.stats.value import Estimate, Outcome


def successes(parts: Mapping[str, Any]) -> dict[str, ByTraining]:
    """Row -> its successes, of the rows that are measured, of parts below PART."""
    rows = {row: trainings_in(parts, row, trainings_of(row)) for row in ROWS if not row.endswith("/labels")}
    return {row: by_training(kept, "success") for row, kept in rows.items() if kept}


def minus(success: Mapping[str, ByTraining], row: str, *others: str) -> Estimate | None:
    """A row less the mean of others, of the trainings that all of them have; None where there is none."""
    return gain_by_training(*(success.get(name, {}) for name in (row, *others)))


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
    kept = list(trainings_in(parts, row := f"{method}/labels", trainings_of(row)).values())
    return {way: labels_in([one[way] for one in kept]) for way in WAYS} if kept else {}


def labels_in(read: Sequence[Mapping[str, Any]]) -> Labels:
    """The same of one direction, of what is kept of each training."""

    def worst(number: str) -> tuple[float, float]:
        recorded, translated = (float(np.mean([np.min(one[kind][number]) for one in read])) for kind in KINDS)
        return recorded, translated

    recorded, translated = (np.array([one[kind]["correlation"] for one in read]) for kind in KINDS)
    margin = (np.nan_to_num(translated) - LABELS_KEPT * recorded).min(1)
    return Labels(worst("correlation"), worst("explained"), student_mean(margin), len(read))

"""What the numbers of all parts say: what is regained, and whether labels are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.translation.study import CONTROLS, KINDS, LABELS_KEPT, ROWS, SEEDS, WAYS
from robolearn.stats.margins import CrossedMean
from robolearn.stats.value import Estimate


def trainings(parts: Mapping[str, Any], row: str) -> dict[str, Any]:
    """Seed -> what is kept of a row, of parts below PART."""
    return {seed: parts[name] for seed in SEEDS if (name := f"{row}/{seed}") in parts}


def successes(parts: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Row -> success [s, c] in every episode of the trainings that all measured rows have, of parts below PART."""
    kept = {row: each for row in ROWS if not row.endswith("/labels") and (each := trainings(parts, row))}
    common = [seed for seed in SEEDS if all(seed in each for each in kept.values())]
    return {
        row: np.array([each[seed]["episodes"]["success"][0] for seed in common]).reshape(len(common), -1)
        for row, each in kept.items()
    }


@dataclass(frozen=True)
class Regained:
    """What a row regains of the success that the look costs.

    Attributes:
        half: Success less the mean of plain and lost: at least 0 where half is regained.
        beyond: Success less that of jitter.
    """

    half: Estimate
    beyond: Estimate


def regained(success: Mapping[str, np.ndarray]) -> dict[str, Regained]:
    """Row -> what it regains, of all rows that are seen real but `lost`; nothing while a control is missing."""
    if not {*CONTROLS} <= {*success} or not len(success["plain"]):
        return {}
    rates = {row: each.astype(float) for row, each in success.items()}
    halfway = (rates["plain"] + rates["lost"]) / 2

    def minus(row: str, other: np.ndarray) -> Estimate:
        return CrossedMean.of(rates[row] - other, other.size).estimate()

    rows = [row for row in rates if row not in ("plain", "lost")]
    return {row: Regained(minus(row, halfway), minus(row, rates["jitter"])) for row in rows}


@dataclass(frozen=True)
class Labels:
    """How well the rows of obstacles are read, as a mean over rows and trainings.

    Attributes:
        correlation: In recorded images, and in translated ones.
        explained: R^2, the same.
    """

    correlation: tuple[float, float]
    explained: tuple[float, float]

    @property
    def kept(self) -> bool | None:
        """Whether translations show what they are labeled; None where recorded images are read too badly to tell."""
        recorded, translated = self.correlation
        return None if recorded < LABELS_KEPT else translated >= LABELS_KEPT * recorded


def labels_of(parts: Mapping[str, Any], method: str) -> dict[str, Labels]:
    """Direction -> how well labels are read, of parts below PART; nothing where that is not measured."""
    kept = trainings(parts, f"{method}/labels").values()

    def told(way: str, number: str) -> tuple[float, float]:
        recorded, translated = (float(np.mean([one[way][kind][number] for one in kept])) for kind in KINDS)
        return recorded, translated

    return {way: Labels(told(way, "correlation"), told(way, "explained")) for way in WAYS} if kept else {}

"""Raw episodes of the study: what every figure is computed from.

    runs/safety/raw/UNIT.npz     of one unit of work, as it is done
    benchmarks/safety/raw.xz     of all of them what the figures need, keys UNIT/FIELD: see kept.py

Scores are kept to 12 binary digits, a relative error of 1 in 8192; figures are computed from what is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.safety.study import EXECUTION, SCORES
from robolearn.files import replacing
from robolearn.types import INTERVENING, Array, Trajectory

DIGITS = 12
KEPT = Path("benchmarks/safety/raw.xz")
FIELDS = ("success", "failure", "length", "plans", "intervening")


@dataclass(frozen=True)
class Episodes:
    """Rolled-out episodes.

    Attributes:
        success: Whether each succeeded [e].
        failure: Whether each ended in a failure, such as a collision [e]; the rest ran until time was up.
        length: Steps [e].
        plans: Replannings that something was noted at [e].
        intervening: Whether an intervention was on, at the replannings of all episodes one after the other [p].
        scores: Name -> score at the same replannings [p].
        errors: Largest error of a tube's predictions at each step of a chunk [e, h], in m; None without a tube.
    """

    success: Array
    failure: Array
    length: Array
    plans: Array
    intervening: Array
    scores: dict[str, Array] = field(default_factory=dict)
    errors: Array | None = None

    @classmethod
    def from_trajectories(cls, trajectories: Sequence[Trajectory], errors: Array | None = None) -> Episodes:
        """Take what counts from trajectories."""
        noted = [t.signals.get(INTERVENING, np.zeros(0, bool)) for t in trajectories]
        names = [name for name in SCORES if name in trajectories[0].signals]
        return cls(
            success=np.array([bool(t.success) for t in trajectories]),
            failure=np.array([t.reason == "failure" for t in trajectories]),
            length=np.array([len(t) for t in trajectories], np.uint16),
            plans=np.array([len(note) for note in noted], np.uint16),
            intervening=np.concatenate(noted).astype(bool),
            scores={name: shortened(np.concatenate([t.signals[name] for t in trajectories])) for name in names},
            errors=None if errors is None else shortened(errors),
        )

    def __len__(self) -> int:
        return len(self.success)

    def arrays(self) -> dict[str, Array]:
        """Field -> array, for a file."""
        arrays = {name: getattr(self, name) for name in FIELDS} | self.scores
        return arrays if self.errors is None else {**arrays, "errors": self.errors}

    def padded(self, name: str) -> Array:
        """A score at each replanning [e, p]; NaN behind the end."""
        plans = self.plans.astype(int)
        rows = np.full((len(plans), int(plans.max())), np.nan)
        rows[np.arange(rows.shape[1]) < plans[:, None]] = self.scores[name]
        return rows

    def intervened(self) -> Array:
        """Steps of each episode under intervention [e]."""
        parts = np.split(self.intervening, np.cumsum(self.plans.astype(int))[:-1])
        lengths = self.length.tolist()
        return np.array([np.repeat(on, EXECUTION.period)[:n].sum() for on, n in zip(parts, lengths, strict=True)])

    def intervened_share(self) -> float:
        """Share of all steps under intervention, in [0, 1]."""
        return float(self.intervened().sum() / max(int(self.length.sum()), 1))


def shortened(values: Array) -> Array:
    """As float32 with DIGITS binary digits."""
    mantissa, exponent = np.frexp(values.astype(np.float64))
    return np.ldexp(np.round(np.ldexp(mantissa, DIGITS)), exponent - DIGITS).astype(np.float32)


class Raw(Mapping[str, Array]):
    """Everything that was kept, UNIT/FIELD -> array.

    Args:
        arrays: Of the kept file, of some units, or made up for a test.
    """

    def __init__(self, arrays: Mapping[str, Array]):
        self._arrays = dict(arrays)

    def __getitem__(self, key: str) -> Array:
        return self._arrays[key]

    def __iter__(self):
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def has(self, part: str) -> bool:
        """Whether something of a part is there."""
        return any(key.startswith(f"{part}/") for key in self._arrays)

    def episodes(self, unit: str) -> Episodes:
        """Episodes of a unit."""
        errors = self._arrays.get(f"{unit}/errors")
        scores = {name: self[f"{unit}/{name}"] for name in SCORES if f"{unit}/{name}" in self._arrays}
        fields = {name: self[f"{unit}/{name}"] for name in FIELDS}
        return Episodes(**fields, scores=scores, errors=errors)

    def made(self, part: str) -> str:
        """On what a part was made; several where its units were made apart."""
        return "; ".join(
            sorted({str(self[key]) for key in self if key.startswith(f"{part}/") and key.endswith("/made")})
        )


def unit_path(root: Path, unit: str) -> Path:
    """File of one unit."""
    return root / "raw" / f"{unit}.npz"


def save_unit(root: Path, unit: str, contents: Mapping[str, Any]) -> None:
    """Keep what a unit found: name -> Episodes, or an array, or a number."""
    arrays: dict[str, Any] = {}
    for name, value in contents.items():
        fields = (
            {f"{name}/{key}": array for key, array in value.arrays().items()} if isinstance(value, Episodes) else None
        )
        arrays |= fields if fields is not None else {name: np.asarray(value)}
    path = unit_path(root, unit)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **arrays)


def load_unit(root: Path, unit: str) -> Raw:
    """What a unit found, keys as in the whole file."""
    with np.load(unit_path(root, unit)) as file:
        return Raw({f"{unit}/{key}": file[key] for key in file.files})

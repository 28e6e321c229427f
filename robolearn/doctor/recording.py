"""What the checks look at: a store, read once, in bounded memory for images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from robolearn.data.attrs import StoreAttrs
from robolearn.data.normalizer import least_range
from robolearn.doctor.camera import Camera
from robolearn.types import Array

REWARDS = ("reward", "rewards", "next.reward")


@dataclass
class Column:
    """Range of one dimension of a key, or of all numbers of a large one (then `dim` is None)."""

    key: str
    dim: int | None
    low: float
    high: float
    mean: float
    std: float

    @property
    def near_constant(self) -> bool:
        """The normalizer's rule."""
        return bool(self.high - self.low < least_range(self.low, self.high))


@dataclass
class Recording:
    """Episodes as the checks look at them.

    Attributes:
        ends: Cumulative, exclusive ends [e].
        rows: Key -> finite numbers [time, d] of a low-dimensional key, "action" among them.
        attrs: What the store says about itself.
        cameras: Key -> what was seen of its images.
        columns: Ranges, also of keys that are not in `rows`.
    """

    ends: Array
    rows: dict[str, Array] = field(default_factory=dict)
    attrs: StoreAttrs = field(default_factory=StoreAttrs)
    cameras: dict[str, Camera] = field(default_factory=dict)
    columns: list[Column] = field(default_factory=list)

    @cached_property
    def starts(self) -> Array:
        """First row of each episode [e]."""
        return np.concatenate([[0], self.ends[:-1]]).astype(np.int64) if len(self.ends) else self.ends

    @property
    def lengths(self) -> Array:
        """Steps of each episode [e]."""
        return self.ends - self.starts

    @cached_property
    def episode_of(self) -> Array:
        """Episode of each row [time]."""
        return np.repeat(np.arange(len(self.ends)), self.lengths)

    @cached_property
    def inside(self) -> Array:
        """Whether each step to the next row stays in its episode [time - 1]."""
        return self.episode_of[1:] == self.episode_of[:-1]

    @property
    def observed(self) -> dict[str, Array]:
        """The rows of what is observed: of the keys that are declared, else of all but actions and rewards."""
        declared = self.attrs.obs_keys or [key for key in self.rows if key not in ("action", *REWARDS)]
        return {key: rows for key, rows in self.rows.items() if key in declared}

    def varying(self, key: str) -> Iterator[tuple[int, Array]]:
        """Each dimension [time] of a key that is not near-constant, in float64."""
        for dim, x in enumerate(self.rows[key].T.astype(np.float64)):
            if not Column(key, dim, float(x.min()), float(x.max()), 0.0, 0.0).near_constant:
                yield dim, x

    def changes(self, x: Array) -> Array:
        """Steps of numbers [time, ...] to the next row [time - 1, ...], 0 from one episode to the next."""
        change = np.diff(x, axis=0)
        change[~self.inside] = 0
        return change

    def per_episode(self, ufunc: np.ufunc, x: Array) -> Array:
        """Reduce rows [time, ...] episode by episode [e, ...]."""
        return ufunc.reduceat(x, self.starts, axis=0)

    def where(self, row: int) -> tuple[int, int]:
        """Episode and step of a row."""
        episode = int(self.episode_of[row])
        return episode, row - int(self.starts[episode])


def columns_of(key: str, rows: Array) -> Iterator[Column]:
    """Ranges of the finite numbers of each dimension."""
    finite = np.isfinite(rows)
    for dim in range(rows.shape[1]):
        good = rows[finite[:, dim], dim].astype(np.float64)
        if len(good):
            with np.errstate(over="ignore", invalid="ignore"):
                yield Column(key, dim, float(good.min()), float(good.max()), float(good.mean()), float(good.std()))


class WholeColumn:
    """One range for all numbers of a key, slab by slab."""

    def __init__(self, key: str) -> None:
        self.key, self.low, self.high = key, math.inf, -math.inf
        self.count, self.total, self.squares = 0, 0.0, 0.0

    def add(self, good: Array) -> None:
        """Look at finite numbers."""
        if good.size == 0:
            return
        self.low, self.high = min(self.low, float(good.min())), max(self.high, float(good.max()))
        self.total += float(good.sum(dtype=np.float64))
        with np.errstate(over="ignore"):
            self.squares += float(np.square(good, dtype=np.float64).sum())
        self.count += good.size

    def column(self) -> Column | None:
        """The range; None of nothing."""
        if not self.count:
            return None
        mean = self.total / self.count
        with np.errstate(over="ignore", invalid="ignore"):  # numbers that float32 cannot hold may have no square either
            std = float(np.sqrt(np.maximum(self.squares / self.count - np.square(mean), 0.0)))
        return Column(self.key, None, self.low, self.high, mean, std)

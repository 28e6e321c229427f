"""What an episode must be to be written into a store: like those before, readable, and kept as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robolearn.data.checks import finite_problem, image_problem, shape_problem, type_problem
from robolearn.data.keys import file_problem
from robolearn.errors import UserError
from robolearn.types import Array, Episode


@dataclass(frozen=True)
class EpisodeLayout:
    """Keys, attributes and types of all episodes of a store.

    Attributes:
        shapes: Key -> shape of one step, the actions among them.
        dtypes: Key -> type that its rows are written as.
        attrs: Name -> type that its numbers are written as.
        declared: Keys that are trained on, which every reader asks for.
    """

    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, np.dtype]
    attrs: Mapping[str, np.dtype]
    declared: tuple[str, ...]

    @classmethod
    def from_episodes(cls, episodes: Sequence[Episode], declared: tuple[str, ...]) -> EpisodeLayout:
        """Of the first episodes of a store: shapes and names of the first one, types that hold all of them."""
        first, *_ = several = list(map(arrays_of, episodes))
        shapes = {key: rows.shape[1:] for key, rows in first.items()}
        dtypes = {key: _type_of(each[key] for each in several if key in each) for key in first}
        attrs = {name: _type_of(e.attrs[name] for e in episodes if name in e.attrs) for name in episodes[0].attrs}
        return cls(shapes, dtypes, attrs, declared)

    def problem(self, episode: Episode) -> str | None:
        """Say why an episode cannot be one of these; None if it can."""
        if len(episode) == 0:
            return " has no steps"
        for problem in filter(None, map(file_problem, (*episode.obs, *episode.attrs))):
            return f": {problem}"
        if "action" in episode.obs or "episode_ends" in episode.attrs:
            return ": action among the observations, or episode_ends among the attributes, is no key"
        arrays = arrays_of(episode)
        shapes = {key: rows.shape[1:] for key, rows in arrays.items()}
        if shapes != self.shapes or set(episode.attrs) != set(self.attrs):
            return f" has {shapes} and {sorted(episode.attrs)}, not {dict(self.shapes)} and {sorted(self.attrs)}"
        for key in self.declared:
            if key not in arrays:
                return f" has no {key}, which `obs_keys` declares; it has {', '.join(arrays)}"
        for problem in filter(None, (self._rows_problem(key, rows, len(episode)) for key, rows in arrays.items())):
            return f": {problem}"
        for problem in filter(None, (self._attr_problem(*named) for named in episode.attrs.items())):
            return f": {problem}"
        return None

    def _rows_problem(self, key: str, rows: Array, steps: int) -> str | None:
        if len(rows) != steps:
            return f"data/{key} has {len(rows)} rows for {steps} actions"
        needed = key in self.declared or key == "action"
        return (
            type_problem(key, rows.dtype)
            or (shape_problem(key, rows.shape) if needed or 0 in rows.shape else image_problem(key, rows.shape[1:]))
            or finite_problem(key, rows, np.array([steps]))
            or _loss(f"data/{key}", rows, self.dtypes[key])
        )

    def _attr_problem(self, name: str, value: Any) -> str | None:
        number = np.asarray(value)
        if number.ndim or type_problem(name, number.dtype):
            return f"meta/{name} is {value!r:.80}; expected a truth value or a number per episode"
        return _loss(f"meta/{name}", number, self.attrs[name])


def arrays_of(episode: Episode) -> dict[str, Array]:
    """Key -> rows [time, ...], the actions among them.

    Raises:
        UserError: Some are no array of numpy.
    """
    arrays = {**episode.obs, "action": episode.actions}
    for key, rows in arrays.items():
        if not isinstance(rows, np.ndarray):
            raise UserError(f"data/{key} is {type(rows).__name__}; expected an array of numpy [time, ...]")
    return arrays


def _type_of(values: Iterable[Any]) -> np.dtype:
    """The type that holds all of them; long long becomes int64, which it is, as zarr knows no other name."""
    kind = np.result_type(*{np.asarray(value).dtype for value in values})
    return np.dtype(kind.str) if kind.kind in "iu" else kind


def _loss(what: str, numbers: Array, dtype: np.dtype) -> str | None:
    """Say that numbers would be others in the type of those before; None if they are kept, floats but for rounding."""
    if np.can_cast(numbers.dtype, dtype, "safe"):
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        kept = numbers.astype(dtype)
    if numbers.dtype.kind == dtype.kind == "f":
        is_kept = np.isfinite(kept).all() or not np.isfinite(numbers).all()
    else:
        is_kept = np.array_equal(kept, numbers)
    return None if is_kept else f"{what} is of type {numbers.dtype}; {dtype}, of the first episodes, cannot hold it"

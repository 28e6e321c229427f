"""Keys made of those that were recorded, as a store is read; see `robolearn.keymap` for the grammar."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from robolearn.data.attrs import StoreAttrs
from robolearn.data.store import DemoStore, wanted_runs
from robolearn.data.videos import StoredVideos
from robolearn.errors import UserError
from robolearn.keyentry import Entry
from robolearn.keymap import KeyMap
from robolearn.remote.sync import fetched


class MappedStore(DemoStore):
    """Demonstrations under other names, cut and joined as they are read.

    A new key takes the place of those that it is made of; they are no `keys` any more, but may still be read by their
    names unless a new one has it.

    Attributes:
        keymap: What is made. The actions may be made too.
    """

    def __init__(self, path: Path, keymap: KeyMap) -> None:
        """Open it; use `open_mapped`."""
        self.keymap = keymap
        super().__init__(path)
        self.attrs = mapped_attrs(self.attrs, self.keymap, super().keys)

    @property
    def keys(self) -> tuple[str, ...]:
        """See DemoStore."""
        return self.keymap.replace(super().keys)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """See DemoStore."""
        return {**super().shapes, **{key: rows.shape[1:] for key, rows in self._empty().items()}}

    @property
    def dtypes(self) -> dict[str, np.dtype]:
        """See DemoStore."""
        return {**super().dtypes, **{key: rows.dtype for key, rows in self._empty().items()}}

    def slabs(self, key: str, wanted: np.ndarray | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """See DemoStore; a key that is made comes without rows that are not wanted."""
        entry = self._made.get(key)
        if entry is None:
            yield from super().slabs(key, wanted)
            return
        first, *others = dict.fromkeys(source.key for source in entry.sources)
        rest = {name: _Rows(super(MappedStore, self).slabs(name, wanted)) for name in others}
        for start, slab in super().slabs(first, wanted):
            for row, rows in wanted_runs(start, slab, wanted):
                sources = {first: rows, **{name: ahead.take(row, row + len(rows)) for name, ahead in rest.items()}}
                try:
                    yield row, np.ascontiguousarray(entry.make(sources, 1))
                except UserError as error:
                    raise UserError(f"{self.path}: rows from {row} on: {error}") from None

    def read(self, key: str) -> np.ndarray:
        """See DemoStore."""
        return np.concatenate([rows for _, rows in self.slabs(key)]) if key in self._made else super().read(key)

    def rows(self, key: str, start: int, stop: int) -> np.ndarray:
        """See DemoStore."""
        if (entry := self._made.get(key)) is None:
            return super().rows(key, start, stop)
        recorded = {source.key: self._rows(source.key, start, stop) for source in entry.sources}
        return np.ascontiguousarray(entry.make(recorded, 1))

    def _all_rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        recorded = super()._all_rows(start, stop)
        rows = {**recorded, **self.keymap.apply(recorded)}
        return {key: rows[key] for key in self.keys if key in rows}

    def fault(self, key: str) -> str | None:
        """See DemoStore; of a key that is made, what is wrong with those that it is made of."""
        return next(filter(None, map(super().fault, self._recorded([key]))), None)

    def video(self, key: str) -> tuple[StoredVideos, np.ndarray] | None:
        """See DemoStore; a key that is made of a video is only decoded as a whole, unless it is renamed alone."""
        entry = self._made.get(key)
        if entry is None:
            return super().video(key)
        is_name = entry.dtype is None and len(entry.sources) == 1 and not entry.sources[0].picks
        return super().video(entry.sources[0].key) if is_name else None

    def absent(self, key: str) -> int:
        """See DemoStore."""
        return sum(map(super().absent, self._recorded([key])))

    def check_key(self, key: str) -> None:
        """See DemoStore."""
        if key not in self._made:
            super().check_key(key)

    def check_made(self) -> None:
        """Raise a UserError, and say why, if a key cannot be made."""
        self._empty()  # says what is not there, or does not fit
        for key in self._recorded([*self._made]):
            super().check_key(key)

    def content_hash(self, keys: Sequence[str] | None = None, wanted: np.ndarray | None = None) -> str:
        """See DemoStore; of what keys are made of, and how."""
        keys = self.keys if keys is None else keys
        recorded = DemoStore(self.path)  # which may have no actions of its own
        recorded.episode_ends = self.episode_ends
        return self._with_map(recorded.content_hash(self._recorded(keys), wanted), keys)

    def fingerprint(self, key: str) -> str:
        """See DemoStore."""
        return self._with_map(" ".join(map(super().fingerprint, self._recorded([key]))), [key])

    @property
    def _needed(self) -> tuple[str, ...]:
        return () if "action" in self._made else ("action",)

    @property
    def _made(self) -> dict[str, Entry]:
        """Name -> what it is made of, without those that give way to what was recorded."""
        return {entry.name: entry for entry in self.keymap.due(self._data).entries}

    def _empty(self) -> dict[str, np.ndarray]:
        """The new keys of no rows."""
        dtypes = super().dtypes
        arrays = {key: np.empty((0, *shape), dtypes[key]) for key, shape in super().shapes.items()}
        try:
            return self.keymap.apply(arrays)
        except UserError as error:
            raise UserError(f"{self.path}: keys made of others: {error}") from None

    def _recorded(self, keys: Sequence[str]) -> list[str]:
        """The recorded keys that these come from, sorted."""
        made = self._made
        return sorted({s.key for key in keys if key in made for s in made[key].sources} | {*keys} - {*made})

    def _with_map(self, digest: str, keys: Sequence[str]) -> str:
        used = [str(self._made[key]) for key in keys if key in self._made]
        return hashlib.sha256(" ".join([digest, *used]).encode()).hexdigest() if used else digest


class _Rows:
    """Rows of a key that come in slabs, taken in other portions.

    Args:
        slabs: (first row, rows) in order; some rows may be left out.
    """

    def __init__(self, slabs: Iterator[tuple[int, np.ndarray]]) -> None:
        self._slabs, self._first, self._slab = slabs, 0, np.empty(0)

    def take(self, start: int, stop: int) -> np.ndarray:
        """Rows from `start` up to `stop`, which is behind it; in ascending order, and none that are left out."""
        assert start >= self._first, "rows are taken in ascending order"
        parts = []
        while start < stop:
            while start >= self._first + len(self._slab):
                self._first, self._slab = next(self._slabs)
            parts.append(self._slab[start - self._first : stop - self._first])
            start += len(parts[-1])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def mapped_attrs(attrs: StoreAttrs, keymap: KeyMap, there: Sequence[str]) -> StoreAttrs:
    """What is said of demonstrations once keys are made: those are observed, if any of them is no action.

    Names of dimensions and units go along where they are known of all that a key is made of.

    Args:
        attrs: What is said of the keys that were recorded.
        keymap: What is made.
        there: The keys that were recorded.
    """
    due, left = keymap.due(there), keymap.replace(there)
    names, units = dict(attrs.names), dict(attrs.units)
    for entry in due.entries:
        names[entry.name] = _joined_names(entry, attrs.names)
        said = {attrs.units.get(source.key, "") for source in entry.sources}
        units[entry.name] = said.pop() if len(said) == 1 else ""
    return replace(
        attrs,
        obs_keys=keymap.observed or tuple(key for key in attrs.obs_keys or () if key in left) or None,
        names={key: texts for key, texts in names.items() if texts and key in left},
        units={key: unit for key, unit in units.items() if unit and key in left},
    )


def _joined_names(entry: Entry, names: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """A name for each dimension of a new key; none where they are not known, or are those of no vector."""
    if any(source.key not in names for source in entry.sources):
        return ()
    steps = {source.key: np.array([names[source.key]]) for source in entry.sources}  # as if they were one step
    try:
        return tuple(entry.join(steps, 1)[0].tolist())
    except UserError:
        return ()


def open_mapped(path: str | os.PathLike[str], keymap: KeyMap) -> DemoStore:
    """Open a store for reading, with keys made of those that it has.

    Raises:
        UserError: As `DemoStore.open`, or a key cannot be made of what there is.
    """
    if not keymap.entries:
        return DemoStore.open(path)
    store = MappedStore(fetched(path), keymap)
    store.check_intact()
    store.check_made()
    return store


def open_mapped_unchecked(path: str | os.PathLike[str], keymap: KeyMap) -> DemoStore:
    """Open for reading what may be damaged, to look at it as a training would see it.

    Raises:
        UserError: It is no store, or a key cannot be made of what there is.
    """
    if not keymap.entries:
        return DemoStore.open_unchecked(path)
    store = MappedStore(fetched(path), keymap)
    store.check_made()
    return store

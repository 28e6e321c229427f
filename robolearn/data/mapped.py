"""A store whose keys are made of those that were recorded; see `robolearn.keymap` for the grammar."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from robolearn.data.store import DemoStore
from robolearn.errors import UserError
from robolearn.keymap import Entry, KeyMap


class MappedStore(DemoStore):
    """Demonstrations under other names, cut and joined as they are read; a new key hides a recorded one of its name.

    Attributes:
        keymap: What is made. The actions may be made too.
    """

    def __init__(self, path: Path, keymap: KeyMap) -> None:
        """Open it; use `open_mapped`."""
        self.keymap = keymap
        super().__init__(path)

    @property
    def keys(self) -> tuple[str, ...]:
        """See DemoStore."""
        return tuple(dict.fromkeys([*super().keys, *self._made]))

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """See DemoStore."""
        return {**super().shapes, **{key: rows.shape[1:] for key, rows in self._empty().items()}}

    @property
    def dtypes(self) -> dict[str, np.dtype]:
        """See DemoStore."""
        return {**super().dtypes, **{key: rows.dtype for key, rows in self._empty().items()}}

    def slabs(self, key: str, wanted: np.ndarray | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """See DemoStore; a key that is made is read whole, for its sources lie in chunks of different sizes."""
        entry = self._made.get(key)
        if entry is None:
            yield from super().slabs(key, wanted)
            return
        first, *others = dict.fromkeys(source.key for source in entry.sources)
        rest = {name: _Rows(super(MappedStore, self).slabs(name)) for name in others}
        for start, rows in super().slabs(first):
            sources = {first: rows, **{name: ahead.take(len(rows)) for name, ahead in rest.items()}}
            try:
                yield start, np.ascontiguousarray(entry.make(sources, 1))
            except UserError as error:
                raise UserError(f"{self.path}: rows from {start} on: {error}") from None

    def read(self, key: str) -> np.ndarray:
        """See DemoStore."""
        return np.concatenate([rows for _, rows in self.slabs(key)]) if key in self._made else super().read(key)

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

    def content_hash(self, keys: Sequence[str] | None = None) -> str:
        """See DemoStore; of what keys are made of, and how."""
        wanted = self.keys if keys is None else keys
        recorded = DemoStore.open_unchecked(self.path).content_hash(self._recorded(wanted))
        return self._with_map(recorded, wanted)

    def fingerprint(self, key: str) -> str:
        """See DemoStore."""
        return self._with_map(" ".join(map(super().fingerprint, self._recorded([key]))), [key])

    @property
    def _needed(self) -> tuple[str, ...]:
        return () if "action" in self._made else ("action",)

    @property
    def _made(self) -> dict[str, Entry]:
        """Name -> what it is made of, without those that give way to what was recorded."""
        return {e.name: e for e in self.keymap.entries if not (e.optional and e.name in self._data)}

    def _empty(self) -> dict[str, np.ndarray]:
        """The new keys of no rows."""
        dtypes = super().dtypes
        arrays = {key: np.empty((0, *shape), dtypes[key]) for key, shape in super().shapes.items()}
        try:
            return self.keymap.apply(arrays)
        except UserError as error:
            raise UserError(f"{self.path}: `dataset.obs` {error}") from None

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
        slabs: (first row, rows) in order.
    """

    def __init__(self, slabs: Iterator[tuple[int, np.ndarray]]) -> None:
        self._slabs, self._left = slabs, np.empty(0)

    def take(self, count: int) -> np.ndarray:
        """The next so many rows, of which there are enough."""
        parts, missing = [], count
        while missing:
            if not len(self._left):
                self._left = next(self._slabs)[1]
            parts.append(self._left[:missing])
            self._left, missing = self._left[missing:], missing - len(parts[-1])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def open_mapped(path: str | os.PathLike[str], keymap: KeyMap) -> DemoStore:
    """Open a store for reading, with keys made of those that it has.

    Raises:
        UserError: As `DemoStore.open`, or a key cannot be made of what there is.
    """
    if not keymap.entries:
        return DemoStore.open(path)
    DemoStore.open_unchecked(path)
    store = MappedStore(Path(path), keymap)
    for problem in store.hindrances():
        raise UserError(problem)
    store.check_made()
    store.episode_ends = store.episode_ends.astype(np.int64)
    return store

"""One or several stores as one recording: all their episodes, one after the other, numbered through."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robolearn.data.attrs import StoreAttrs
from robolearn.data.mapped import open_mapped
from robolearn.data.store import DemoStore, wanted_runs
from robolearn.data.videos import StoredVideos
from robolearn.errors import UserError
from robolearn.files import StrPath
from robolearn.images import seen_shape
from robolearn.keymap import KeyMap


class Demos:
    """Stores that are trained on together, such as demonstrations and later corrections.

    Attributes:
        stores: In the order given.
        attrs: Those of the first store; environment and control_dt are of the first that states them.
        episode_ends: Cumulative, exclusive ends over all stores, int64 [e].
        numbers: What each of these episodes is called, int64 [e]; in a part not 0, 1, 2 ...
    """

    def __init__(self, stores: Sequence[DemoStore]) -> None:
        """Join open stores.

        Raises:
            UserError: There is none, one is given twice, or two state another environment or control_dt.
        """
        if not stores:
            raise UserError("`dataset.path` needs at least one store")
        paths = [store.path.resolve() for store in stores]
        for index, path in enumerate(paths):
            if path in paths[:index]:  # its episodes would be trained on and held out at once
                raise UserError(f"{stores[index].path}: given twice")
        self.stores = tuple(stores)
        self.attrs = _joint_attrs(self.stores)
        starts = np.cumsum([0, *(store.num_steps for store in stores)])
        self.episode_ends = np.concatenate(
            [store.episode_ends + start for store, start in zip(stores, starts, strict=False)]
        )
        self.numbers = np.arange(len(self.episode_ends))
        self._wanted: tuple[np.ndarray | None, ...] = (None,) * len(stores)

    @classmethod
    def open(cls, paths: StrPath | Sequence[StrPath], keymap: KeyMap | None = None) -> Demos:
        """Open stores for reading, with keys made of theirs; errors are those of `open_mapped` and of joining them."""
        several = [paths] if isinstance(paths, str | os.PathLike) else paths
        return cls([open_mapped(path, keymap or KeyMap()) for path in several])

    def part(self, episodes: np.ndarray) -> Demos:
        """Some episodes alone, one after the other in ascending order: of others nothing is decoded.

        Args:
            episodes: Their numbers here, in any order and with repetition.
        """
        part, chosen = copy.copy(self), np.zeros(len(self.episode_ends), bool)
        chosen[episodes] = True
        lengths = np.diff(self.episode_ends, prepend=0)
        part.numbers, part.episode_ends = self.numbers[chosen], np.cumsum(lengths[chosen])
        cuts = np.cumsum([store.num_steps for store in self.stores])[:-1]
        part._wanted = tuple(np.split(np.repeat(chosen, lengths), cuts))
        return part

    def slabs(self, key: str, stores: Sequence[DemoStore] | None = None) -> Iterator[tuple[DemoStore, int, np.ndarray]]:
        """Yield (store, first row there, rows) of a key in the order of the episodes, each of bounded size.

        Args:
            key: Which.
            stores: Of these stores alone; of all when None.
        """
        for store, wanted in zip(self.stores, self._wanted, strict=True):
            if stores is not None and store not in stores:
                continue
            for start, slab in store.slabs(key, wanted):
                for first, rows in wanted_runs(start, slab, wanted):
                    yield store, first, rows

    @property
    def name(self) -> str:
        """Their paths, for people."""
        return " + ".join(str(store.path) for store in self.stores)

    @property
    def num_steps(self) -> int:
        """Steps of all stores."""
        return int(self.episode_ends[-1])

    def steps_in(self, stores: Sequence[DemoStore]) -> int:
        """Steps of these of the stores."""
        pairs = zip(self.stores, self._wanted, strict=True)
        return sum(s.num_steps if wanted is None else int(wanted.sum()) for s, wanted in pairs if s in stores)

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys that every store has, "action" among them."""
        return tuple(key for key in self.stores[0].keys if all(key in store.keys for store in self.stores))

    def shape(self, key: str) -> tuple[int, ...]:
        """Shape of one step of a key, of an image as networks see it.

        Raises:
            UserError: A store lacks the key, cannot read it or has it in another shape than the first.
        """
        for store in self.stores:
            store.check_key(key)
        first = self.stores[0]
        shape = seen_shape(first.shapes[key]) or first.shapes[key]
        for store in self.stores:
            if (seen_shape(store.shapes[key]) or store.shapes[key]) != shape:
                raise UserError(
                    f"{store.path}: data/{key} has shape {store.shapes[key]} per step, "
                    f"in {first.path} {first.shapes[key]}; stores that are mixed must agree"
                )
        return shape

    def video(self, key: str) -> tuple[tuple[StoredVideos, np.ndarray], ...] | None:
        """Videos of each store that hold a key, and the places of the episodes' rows; None if one has it in arrays.

        Raises:
            UserError: A store cannot read the key.
        """
        parts = []
        for store, wanted in zip(self.stores, self._wanted, strict=True):
            if (video := store.video(key)) is None:
                return None
            videos, places = video
            parts.append((videos, places if wanted is None else places[wanted]))
        return tuple(parts)

    def episode_attr(self, name: str) -> np.ndarray | None:
        """One number per episode [e]; None where a store does not have it."""
        parts = [store.episode_attrs.get(name) for store in self.stores]
        known = [part for part in parts if part is not None]
        return np.concatenate(known) if len(known) == len(parts) else None

    def content_hash(self, keys: Sequence[str]) -> str:
        """sha256 over these keys of every store; that of a single store is its own.

        That of a part is the hash that stores of its episodes alone would have: nothing else is read for it.
        """
        pairs = zip(self.stores, self._wanted, strict=True)
        return _joint_hash([store.content_hash(keys, wanted) for store, wanted in pairs])

    def fingerprint(self, key: str) -> str:
        """Hash of the files that hold a key, as `DemoStore.fingerprint`; of a part another than of the whole."""
        whole = _joint_hash([store.fingerprint(key) for store in self.stores])
        is_whole = all(wanted is None or wanted.all() for wanted in self._wanted)
        return whole if is_whole else _joint_hash([whole, repr(self.numbers.tolist())])


def _joint_hash(hashes: list[str]) -> str:
    return hashes[0] if len(hashes) == 1 else hashlib.sha256(" ".join(hashes).encode()).hexdigest()


def _joint_attrs(stores: Sequence[DemoStore]) -> StoreAttrs:
    stated: dict[str, tuple[Any, Path]] = {}
    for store in stores:
        for name, value in _statements(store.attrs).items():
            first, where = stated.setdefault(name, (value, store.path))
            if value != first:
                raise UserError(
                    f"{store.path}: {name} is {value!r}, in {where} {first!r}; stores that are mixed must agree"
                )
    attrs = {name: value for name, (value, _) in stated.items()}
    # Interventions are recorded where the environment was another than in the demonstrations: the first one stands.
    kwargs = next((store.attrs.env_kwargs for store in stores if store.attrs.env_id is not None), {})
    return dataclasses.replace(stores[0].attrs, **attrs, env_kwargs=kwargs)


def _statements(attrs: StoreAttrs) -> dict[str, Any]:
    """What a store states of those attributes that must agree."""
    shared: dict[str, Any] = {}
    if attrs.env_id is not None:
        shared["env_id"] = attrs.env_id
    if attrs.control_dt is not None:
        shared["control_dt"] = attrs.control_dt
    return shared

"""Appending demonstrations to a store.

Appending is crash-safe without a journal. Every file is replaced atomically; chunks go first, then the
shapes, and the shape of meta/episode_ends last of all: replacing that one file makes the episodes exist.
Rows beyond the last end belong to an episode that was never finished; the next append overwrites them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from robolearn.data.attrs import SCHEMA_VERSION, StoreAttrs
from robolearn.data.checks import finite_problem
from robolearn.data.chunks import CONFIG, Files
from robolearn.data.store import DemoStore
from robolearn.types import Episode

LOW_DIM_CHUNK, IMAGE_CHUNK = 4096, 100  # rows per chunk


class _ChunksFirst(Files):
    """A directory in which new shapes wait until `release`, so that no shape is ahead of its chunks."""

    def __init__(self, root: Path | str, *, read_only: bool = False) -> None:
        super().__init__(root, read_only=read_only)
        self._held: dict[str, bytes] = {}

    async def set(self, key, value):
        if key.endswith("zarr.json"):
            self._held[key] = value.to_bytes()
        else:
            await super().set(key, value)

    def hold(self) -> None:
        self._held = {}

    def release(self) -> None:
        for key, content in self._held.items():
            target = self.root / key
            partial = target.with_suffix(".partial")
            partial.write_bytes(content)
            partial.replace(target)


class DemoWriter(DemoStore):
    """A store (zarr v3, directory) that grows by whole episodes; use `create` or `append_to`."""

    def __init__(self, path: Path, group: zarr.Group, files: _ChunksFirst) -> None:
        super().__init__(path, group)
        self._files = files

    @classmethod
    def create(cls, path: str | os.PathLike[str], *, attrs: StoreAttrs) -> DemoWriter:
        """Start an empty store.

        Raises:
            ValueError: Something is there already, or the place cannot be written.
        """
        path = Path(path)
        if path.exists() and (path.is_file() or any(path.iterdir())):
            raise ValueError(f"{path}: exists already; choose another path or append to it")
        raw = {name: value for name, value in asdict(attrs).items() if value is not None}
        try:
            zarr.create_group(Files(path), zarr_format=3, attributes=raw)
        except OSError as error:
            raise ValueError(f"{path}: cannot be written ({error.strerror})") from error
        return cls.append_to(path)

    @classmethod
    def append_to(cls, path: str | os.PathLike[str]) -> DemoWriter:
        """Open an existing store of this toolkit for appending; what a killed writer left over is cleared."""
        path = Path(path)
        if cls.open_unchecked(path).attrs.schema_version != SCHEMA_VERSION or not path.is_dir():
            raise ValueError(f"{path}: only a directory written by robolearn can be appended to; import it first")
        try:
            for leftover in path.rglob("*.partial"):
                leftover.unlink()
            plain = zarr.open_group(Files(path), mode="r+")
            plain.require_group("data")
            meta = plain.require_group("meta")
            if "episode_ends" not in meta:
                meta.create_array("episode_ends", shape=(0,), chunks=(LOW_DIM_CHUNK,), dtype="int64")
        except OSError as error:
            raise ValueError(f"{path}: cannot be written ({error.strerror})") from error
        files = _ChunksFirst(path)
        with zarr.config.set(CONFIG):
            return cls(path, zarr.open_group(files, mode="r+"), files)

    def append(self, episode: Episode) -> None:
        """Append one episode; see `extend`."""
        self.extend([episode])

    def extend(self, episodes: Sequence[Episode]) -> None:
        """Append episodes; after a kill at any moment either all of them are there or none.

        Raises:
            ValueError: An episode does not fit the store, is empty or not finite; or the disk refuses, and
                then all episodes stored before are safe.
        """
        if not episodes:
            return
        for i, episode in enumerate(episodes):
            self._check(episode, episodes[0], self.num_episodes + i)
        ends = np.concatenate([self.episode_ends, self.num_steps + np.cumsum([len(e) for e in episodes])])
        try:
            with zarr.config.set(CONFIG):
                self._write(episodes, ends)
        except OSError as error:
            raise ValueError(
                f"{self.path}: cannot be written ({error.strerror}); "
                f"the {self.num_episodes} episodes stored before are safe"
            ) from error
        self.episode_ends = ends

    def _write(self, episodes: Sequence[Episode], ends: np.ndarray) -> None:
        rows = {key: [e.obs[key] for e in episodes] for key in episodes[0].obs}
        rows["action"] = [e.actions for e in episodes]
        numbers = {name: np.array([e.attrs[name] for e in episodes]) for name in episodes[0].attrs}
        self._files.hold()
        for key, parts in rows.items():
            _put(self._require("data", self._data, key, parts[0]), self.num_steps, np.concatenate(parts))
        for name, values in numbers.items():
            _put(self._require("meta", self._meta, name, values), self.num_episodes, values)
        _put(self._meta["episode_ends"], self.num_episodes, ends[self.num_episodes :])
        self._files.release()

    def _check(self, episode: Episode, like: Episode, index: int) -> None:
        """Refuse an episode that is damaged, or unlike the store or (in an empty one) the episode `like`."""
        arrays = {**episode.obs, "action": episode.actions}
        where = f"{self.path}: episode {index}"
        if len(episode) == 0:
            raise ValueError(f"{where} has no steps")
        shapes, names = self.shapes, set(self._meta) - {"episode_ends"}
        if self.num_episodes == 0:
            shapes = {key: array.shape[1:] for key, array in {**like.obs, "action": like.actions}.items()}
            names = set(like.attrs)
        found = {key: array.shape[1:] for key, array in arrays.items()}
        if found != shapes or set(episode.attrs) != names:
            raise ValueError(f"{where} has {found} and {sorted(episode.attrs)}, not {shapes} and {sorted(names)}")
        for key, array in arrays.items():
            if len(array) != len(episode):
                raise ValueError(f"{where}: data/{key} has {len(array)} rows for {len(episode)} actions")
            problem = finite_problem(key, array, np.array([len(episode)]))
            if problem:
                raise ValueError(f"{where}: {problem}")

    def _require(self, folder: str, arrays: dict[str, zarr.Array], key: str, like: np.ndarray) -> zarr.Array:
        """The array of a key, created with the first episode (again, if a writer died during that)."""
        if self.num_episodes == 0:
            rows = IMAGE_CHUNK if like.ndim == 4 else LOW_DIM_CHUNK
            zarr.create_array(
                Files(self.path),
                name=f"{folder}/{key}",
                shape=(0, *like.shape[1:]),
                chunks=(rows, *like.shape[1:]),
                dtype=like.dtype,
                compressors=ZstdCodec(level=1, checksum=True),
                overwrite=True,
            )
            created = self._group[f"{folder}/{key}"]
            assert isinstance(created, zarr.Array)
            arrays[key] = created
        return arrays[key]


def _put(array: zarr.Array, start: int, rows: np.ndarray) -> None:
    """Write rows at `start` and let the array end with them."""
    array.resize((start + len(rows), *array.shape[1:]))
    array[start:] = rows

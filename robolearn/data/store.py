"""Demonstrations on disk, read; `writer.py` appends. With `chunks.py` these are the only modules that know zarr.

Time-major arrays of all episodes, one after the other, and where each episode ends (exclusive):

    data/action        [time, a]      row:  0 1 2 | 3 4 5 6 | 7 8
    data/<key>         [time, ...]          episode 0 |    1    |  2
    meta/episode_ends  [e]            3, 7, 9
    meta/<name>        [e]            one number per episode: seed, success, mode ...

This is the layout of Diffusion Policy (Chi et al. 2023), read as it is from zarr v2 or v3, directory or zip.
"""

from __future__ import annotations

import hashlib
import os
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import zarr
from zarr.storage import ZipStore

from robolearn.data.attrs import SCHEMA_VERSION, StoreAttrs
from robolearn.data.checks import ends_problem
from robolearn.data.chunks import CONFIG, ChunkReader, Files, chunk_shape
from robolearn.types import Episode

SLAB_BYTES = 1 << 26  # decoded at once; bounds the memory that reading needs beside its result


class DemoStore:
    """A store of demonstrations; see the module for the layout.

    Attributes:
        path: Directory or zip.
        attrs: What the store says about itself.
        episode_ends: Cumulative, exclusive ends, int64 [e].
    """

    def __init__(self, path: Path, group: zarr.Group) -> None:
        """Wrap an open group; use `open`."""
        self.path = path
        self.attrs = StoreAttrs.from_json(dict(group.attrs))
        self._group = group
        self._chunks = ChunkReader(path)
        self._data: dict[str, zarr.Array] = {}
        self._meta: dict[str, zarr.Array] = {}
        for arrays, name in ((self._data, "data"), (self._meta, "meta")):
            child = group.get(name)
            if isinstance(child, zarr.Group):
                with warnings.catch_warnings():
                    # A writer that died while creating an array leaves a folder without metadata.
                    warnings.filterwarnings("ignore", message="Object at .* is not recognized")
                    arrays.update(sorted(child.arrays()))
        ends = self._meta.get("episode_ends")
        self.episode_ends = np.zeros(0, np.int64)
        if ends is not None and ends.ndim:
            self.episode_ends = self._chunks.rows(ends, 0, ends.shape[0])

    # ---- opening

    @staticmethod
    def open(path: str | os.PathLike[str]) -> DemoStore:
        """Open a store for reading.

        Raises:
            ValueError: The path is no store, or the first of its `problems`.
        """
        store = DemoStore.open_unchecked(path)
        for problem in store.problems():
            raise ValueError(problem)
        if store.episode_ends.dtype != np.int64:
            store.episode_ends = store.episode_ends.astype(np.int64)
        return store

    @staticmethod
    def open_unchecked(path: str | os.PathLike[str]) -> DemoStore:
        """Open for reading what may be damaged, to look at it; see `problems`."""
        path = Path(path)
        if not path.exists():
            raise ValueError(f"{path}: no such file or directory")
        try:
            with zarr.config.set(CONFIG):
                files = Files(path, read_only=True) if path.is_dir() else ZipStore(path, mode="r")
                return DemoStore(path, zarr.open_group(files, mode="r"))
        except zipfile.BadZipFile as error:
            raise ValueError(f"{path}: neither a zarr directory nor a zip of one ({error})") from error
        except FileNotFoundError as error:
            raise ValueError(f"{path}: not a zarr store (no zarr.json and no .zgroup in its root)") from error
        except (KeyError, TypeError, OSError) as error:
            raise ValueError(f"{path}: damaged zarr metadata ({type(error).__name__}: {error})") from error
        except ValueError as error:
            prefix = "" if str(error).startswith(str(path)) else f"{path}: damaged zarr metadata: "
            raise ValueError(f"{prefix}{error}") from error

    # ---- reading

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the time-major arrays, "action" among them."""
        return tuple(self._data)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Key -> shape of one step."""
        return {key: tuple(array.shape[1:]) for key, array in self._data.items()}

    @property
    def dtypes(self) -> dict[str, np.dtype]:
        """Key -> type on disk."""
        return {key: array.dtype for key, array in self._data.items()}

    @property
    def encoding(self) -> str:
        """How it lies on disk, in words."""
        return f"zarr v{self._group.metadata.zarr_format}, {'directory' if self.path.is_dir() else 'zip'}"

    @property
    def num_episodes(self) -> int:
        """Finished episodes."""
        return len(self.episode_ends)

    @property
    def num_steps(self) -> int:
        """Steps of all finished episodes."""
        return int(self.episode_ends[-1]) if len(self.episode_ends) else 0

    @property
    def episode_attrs(self) -> dict[str, np.ndarray]:
        """Name -> one number per episode [e]."""
        names = [name for name in self._meta if name != "episode_ends"]
        return {name: self._chunks.rows(self._meta[name], 0, self.num_episodes) for name in names}

    def read(self, key: str) -> np.ndarray:
        """Read a whole key [time, ...] in large slabs.

        Raises:
            ValueError: The key does not exist, or a chunk is missing or damaged.
        """
        array = self._array(key)
        whole = np.empty((self.num_steps, *array.shape[1:]), array.dtype)
        for start, slab in self.slabs(key):
            whole[start : start + len(slab)] = slab
        return whole

    def slabs(self, key: str) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first row, rows) of a key in order, each of bounded size."""
        array = self._array(key)
        chunk = chunk_shape(array)[0]
        row_bytes = max(1, array.dtype.itemsize * int(np.prod(array.shape[1:])))
        rows = max(1, SLAB_BYTES // (row_bytes * chunk)) * chunk
        for start in range(0, self.num_steps, rows):
            yield start, self._chunks.rows(array, start, min(start + rows, self.num_steps))

    def episode(self, index: int) -> Episode:
        """Read one episode with all its keys."""
        if not 0 <= index < self.num_episodes:
            raise ValueError(f"{self.path}: no episode {index}; there are 0 .. {self.num_episodes - 1}")
        start = int(self.episode_ends[index - 1]) if index else 0
        stop = int(self.episode_ends[index])
        rows = {key: self._chunks.rows(array, start, stop) for key, array in self._data.items()}
        attrs = {name: values[index].item() for name, values in self.episode_attrs.items()}
        return Episode(obs=rows, actions=rows.pop("action"), attrs=attrs)

    def content_hash(self, keys: Sequence[str] | None = None) -> str:
        """sha256 over the decoded keys (all when None) and the episode ends, however they are encoded."""
        digest = hashlib.sha256(np.ascontiguousarray(self.episode_ends, dtype="<i8").tobytes())
        for key in sorted(self.keys if keys is None else keys):
            array = self._array(key)
            little = array.dtype.newbyteorder("<")
            digest.update(f"{key} {little.str} {self.shapes[key]}".encode())
            for _, slab in self.slabs(key):
                digest.update(np.ascontiguousarray(slab, dtype=little).data)
        return digest.hexdigest()

    def fingerprint(self, key: str) -> str:
        """Hash of names, sizes and modification times of the files that hold `key`: cheap, for caches."""
        folder = self.path / "data" / key if self.path.is_dir() else self.path
        files = sorted(folder.rglob("*")) if folder.is_dir() else [folder]
        stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        return hashlib.sha256(repr((key, self.num_steps, stats)).encode()).hexdigest()[:32]

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the structure, one line each; the arrays' contents are not read."""
        if self.attrs.schema_version not in (None, SCHEMA_VERSION):
            yield f"{self.path}: unknown schema version {self.attrs.schema_version} (known: {SCHEMA_VERSION})"
        for name, value in self.attrs.env_kwargs.items():
            if not isinstance(value, int | float | bool | str):
                yield f"{self.path}: env_kwargs: {name} is {value!r}, neither a number nor a truth value nor text"
        for key in ("action", *(self.attrs.obs_keys or ())):
            if key not in self._data:
                yield f"{self.path}: data/{key} is missing (there are: {', '.join(self.keys) or 'none'})"
        if "episode_ends" not in self._meta:
            yield f"{self.path}: meta/episode_ends is missing"
            return
        problem = ends_problem(self.episode_ends)
        if problem:
            yield f"{self.path}: {problem}"
            return
        if "action" in self._data and self._data["action"].ndim != 2:
            yield f"{self.path}: data/action has shape {self._data['action'].shape}, expected [time, a]"
        for key, array in self._data.items():
            length = array.shape[0] if array.ndim else 0
            # Our own stores may carry the rows of an episode that was being written when the writer died.
            if length < self.num_steps or (length > self.num_steps and self.attrs.schema_version is None):
                yield (
                    f"{self.path}: data/{key} has {length} rows but the last of "
                    f"{self.num_episodes} episodes ends at {self.num_steps}"
                )
        for name, array in self._meta.items():
            if array.shape[:1] < (self.num_episodes,):
                yield f"{self.path}: meta/{name} has shape {array.shape} for {self.num_episodes} episodes"

    def _array(self, key: str) -> zarr.Array:
        if key not in self._data:
            raise ValueError(f"{self.path}: no key '{key}' (there are: {', '.join(self.keys)})")
        return self._data[key]


def default_obs_keys(store: DemoStore) -> tuple[str, ...]:
    """The observation keys to train on: those the store declares, else "state".

    Raises:
        ValueError: It declares none and has no "state".
    """
    if store.attrs.obs_keys:
        return store.attrs.obs_keys
    if "state" in store.keys:
        return ("state",)
    choices = ", ".join(key for key in store.keys if key != "action")
    raise ValueError(f"{store.path}: choose observations with --dataset.obs-keys (there are: {choices})")

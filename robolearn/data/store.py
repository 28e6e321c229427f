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
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import zarr
from numcodecs.errors import UnknownCodecError
from zarr.abc.store import Store
from zarr.storage import MemoryStore, StorePath

from robolearn.data.attrs import SCHEMA_VERSION, VIDEO_VERSION, StoreAttrs
from robolearn.data.checks import ends_checksum, ends_problem, image_problem, shape_problem
from robolearn.data.chunks import ChunkReader
from robolearn.data.codecs import absent_codec
from robolearn.data.container import Container
from robolearn.data.metadata import Layout, read_layout
from robolearn.data.video_keys import VideoKeys
from robolearn.data.videos import StoredVideos
from robolearn.errors import UserError
from robolearn.remote.sync import fetched
from robolearn.types import Episode

# Decoded at once: bounds the memory that reading needs beside its result.
SLAB_BYTES, SLAB_CHUNKS = 1 << 26, 1 << 16


class DemoStore:
    """A store of demonstrations; see the module for the layout.

    Attributes:
        path: Directory or zip.
        attrs: What the store says about itself.
        episode_ends: Cumulative, exclusive ends, int64 [e].
    """

    def __init__(self, path: Path, files: Store | None = None) -> None:
        """Read what the store says of itself; use `open`.

        Args:
            path: Directory or zip.
            files: Where a writer's arrays are written; a reader has none.

        Raises:
            UserError: There is nothing at the path, or no store, or its root is damaged.
        """
        if not path.exists():
            raise UserError(f"{path}: no such file or directory")
        self.path = path
        container = Container(path)
        layout = read_layout(container)
        try:
            self.attrs = StoreAttrs.from_json(layout.attrs)
        except ValueError as error:
            raise UserError(f"{path}: damaged zarr metadata: {error}") from error
        self.refused, self._uncoded = layout.refused, layout.uncoded
        self._zarr_format = layout.zarr_format
        self._chunks = ChunkReader(container, layout.zarr_format, fills=self.attrs.schema_version is None)
        self._data: dict[str, zarr.Array] = {}
        self._meta: dict[str, zarr.Array] = {}
        self._make_arrays(layout, files or MemoryStore())
        self._videos = VideoKeys(path, self._places, lambda: self.episode_ends)
        for key, reason in self._videos.find(container, self._data.keys() & set(self.attrs.videos)).items():
            del self._data[key]
            self.refused[f"data/{key}"] = reason
        self.episode_ends = np.zeros(0, np.int64)
        ends = self._meta.get("episode_ends")
        if ends is not None and ends.ndim:
            try:
                self.episode_ends = self._read_ends(ends, layout.arrays["meta/episode_ends"].checksum)
            except (UserError, OSError) as error:
                del self._meta["episode_ends"]
                self.refused["meta/episode_ends"] = str(error).removeprefix(f"{path}: ")

    def _make_arrays(self, layout: Layout, files: Store) -> None:
        """Take the arrays that are admitted, and note why others are not."""
        for name, facts in layout.arrays.items():
            folder, _, key = name.partition("/")
            try:
                store_path = StorePath(files, name)
                (self._data if folder == "data" else self._meta)[key] = zarr.Array.from_dict(store_path, facts.metadata)
            except (UnknownCodecError, ImportError):
                self._uncoded.add(name)
                self.refused[name] = absent_codec(facts.metadata.get("compressor"))
            except Exception as error:  # zarr raises what it likes at odd values
                self.refused[name] = f"damaged zarr metadata ({type(error).__name__}: {error})"

    def __repr__(self) -> str:
        """What an interactive session shows: where it is, how much there is, and what a step consists of."""
        step = ", ".join(f"{key} {dtype}{list(self.shapes[key])}" for key, dtype in self.dtypes.items())
        held = f"{self.num_episodes:,} episodes, {self.num_steps:,} steps of {step or 'nothing'}"
        return f"<{type(self).__name__} {self.path}: {held}>"

    # ---- opening

    @staticmethod
    def open(path: str | os.PathLike[str]) -> DemoStore:
        """Open a store for reading.

        Raises:
            UserError: The path is no store, or the first of its `hindrances`.
        """
        store = DemoStore(fetched(path))
        store.check_intact()
        return store

    @staticmethod
    def open_unchecked(path: str | os.PathLike[str]) -> DemoStore:
        """Open for reading what may be damaged, to look at it; see `problems`."""
        return DemoStore(fetched(path))

    def __reduce__(self) -> tuple[Callable[..., DemoStore], tuple[Path]]:
        """A store that another process gets, as the workers of a DataLoader do, is opened there again."""
        return DemoStore.open, (self.path,)

    def check_intact(self) -> None:
        """Raise a UserError, and say why, if it cannot be read."""
        for problem in self.hindrances():
            raise UserError(problem)
        self.episode_ends = self.episode_ends.astype(np.int64, copy=False)

    # ---- reading

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the time-major arrays, "action" among them."""
        return tuple(self._data)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Key -> shape of one step."""
        return {key: self._step(key)[0] for key in self._data}

    @property
    def dtypes(self) -> dict[str, np.dtype]:
        """Key -> type on disk; of what lies in videos, that of a decoded image."""
        return {key: self._step(key)[1] for key in self._data}

    def _step(self, key: str) -> tuple[tuple[int, ...], np.dtype]:
        """Shape and type of one step of what was recorded."""
        if key in self._videos:
            return self._videos[key].facts.shape, np.dtype(np.uint8)
        return tuple(self._data[key].shape[1:]), self._data[key].dtype

    @property
    def encoding(self) -> str:
        """How it lies on disk, in words."""
        return f"zarr v{self._zarr_format}, {'directory' if self.path.is_dir() else 'zip'}"

    @property
    def num_episodes(self) -> int:
        """Finished episodes."""
        return len(self.episode_ends)

    @property
    def num_steps(self) -> int:
        """Steps of all finished episodes."""
        return int(self.episode_ends[-1]) if self.episode_ends.ndim == 1 and len(self.episode_ends) else 0

    @property
    def episode_attrs(self) -> dict[str, np.ndarray]:
        """Name -> one number per episode [e]."""
        return self._attrs_of(0, self.num_episodes)

    def _attrs_of(self, first: int, last: int) -> dict[str, np.ndarray]:
        """Name -> numbers of the episodes from the first up to the last; no other chunks are read for them."""
        names = [name for name in self._meta if name != "episode_ends" and self._meta_fault(name) is None]
        return {name: self._chunks.rows(f"meta/{name}", self._meta[name], first, last) for name in names}

    def read(self, key: str) -> np.ndarray:
        """Read a whole key [time, ...] in large slabs.

        Raises:
            UserError: The key does not exist, or a chunk is missing or damaged.
        """
        self.check_key(key)
        shape, dtype = self._step(key)
        whole = np.empty((self.num_steps, *shape), dtype)
        for start, slab in self.slabs(key):
            whole[start : start + len(slab)] = slab
        return whole

    def slabs(self, key: str, wanted: np.ndarray | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first row, rows) of a key in order, each of bounded size.

        Args:
            key: Which.
            wanted: Rows that are needed, bool [time]; chunks that hold none of them are not decoded. None for all.
        """
        array, chunk = self._array(key), self._chunks.facts(f"data/{key}").chunk
        shape, dtype = self._step(key)
        first, row_bytes = 1 if key in self._videos else chunk[0], max(1, dtype.itemsize * math.prod(shape))
        beside = math.prod(-(-size // step) for size, step in zip(array.shape[1:], chunk[1:], strict=True))
        rows = max(1, min(SLAB_BYTES // (row_bytes * first), SLAB_CHUNKS // beside)) * first
        for start, stop in _runs(wanted, self.num_steps, first, rows):
            yield start, self._rows(key, start, stop)

    def rows(self, key: str, start: int, stop: int) -> np.ndarray:
        """Rows of a key from `start` up to `stop` [rows, ...]; whole chunks are decoded for them.

        Raises:
            UserError: The key does not exist, or a chunk is missing or damaged.
        """
        self.check_key(key)
        return self._rows(key, start, stop)

    def _rows(self, key: str, start: int, stop: int) -> np.ndarray:
        rows = self._chunks.rows(f"data/{key}", self._data[key], start, stop)
        return self._videos[key].reader.read(rows) if key in self._videos else rows

    def chunk_rows(self, key: str) -> int:
        """Rows that a chunk of a key holds; of what lies in videos any may be read alone."""
        self.check_key(key)
        return 1 if key in self._videos else self._chunks.facts(f"data/{key}").chunk[0]

    def video(self, key: str) -> tuple[StoredVideos, np.ndarray] | None:
        """Videos that hold a key, and the place in them of each row [time, 2]; None where it lies in arrays.

        Raises:
            UserError: The key cannot be read.
        """
        self.check_key(key)
        return (self._videos[key], self._places(key)) if key in self._videos else None

    def _places(self, key: str) -> np.ndarray:
        return self._chunks.rows(f"data/{key}", self._data[key], 0, self.num_steps)

    def absent(self, key: str) -> int:
        """How many chunks of those read so far were absent and filled, as zarr fills them."""
        return len(self._chunks.absent.get(f"data/{key}", ()))

    def episode(self, index: int) -> Episode:
        """Read one episode with all its keys."""
        if not 0 <= index < self.num_episodes:
            raise UserError(f"{self.path}: no episode {index}; there are 0 .. {self.num_episodes - 1}")
        rows = self._all_rows(int(self.episode_ends[index - 1]) if index else 0, int(self.episode_ends[index]))
        attrs = {name: values.item() for name, values in self._attrs_of(index, index + 1).items()}
        return Episode(obs=rows, actions=rows.pop("action"), attrs=attrs)

    def _all_rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Key -> rows from `start` up to `stop`, of all keys that can be read."""
        return {key: self._rows(key, start, stop) for key in self._data if self.fault(key) is None}

    def content_hash(self, keys: Sequence[str] | None = None, wanted: np.ndarray | None = None) -> str:
        """sha256 over the decoded keys and the episode ends, however they are encoded; videos count as they are.

        Args:
            keys: Which; all when None.
            wanted: Rows of whole episodes, bool [time]: then as if there were no others. None for all.

        Raises:
            UserError: A key cannot be read, or a video is not what was kept.
        """
        ends = self.episode_ends
        if wanted is not None:
            ends = np.cumsum(np.diff(ends, prepend=0)[wanted[ends - 1]])
        digest = hashlib.sha256(np.ascontiguousarray(ends, dtype="<i8").tobytes())
        for key in sorted(self.keys if keys is None else keys):
            array = self._array(key)
            if key in self._videos:
                digest.update(f"{key} {self._videos.digest(key, wanted)}".encode())
                continue
            little = array.dtype.newbyteorder("<")
            digest.update(f"{key} {little.str} {self.shapes[key]}".encode())
            for start, slab in self.slabs(key, wanted):
                for _, rows in wanted_runs(start, slab, wanted):
                    digest.update(np.ascontiguousarray(rows, dtype=little).data)
        return digest.hexdigest()

    def fingerprint(self, key: str) -> str:
        """Hash of names, sizes and modification times of the files that hold `key`: cheap, for caches."""
        folder = self.path / "data" / key if self.path.is_dir() else self.path
        files = sorted(folder.rglob("*")) if folder.is_dir() else [folder]
        files += self._videos[key].paths if key in self._videos else []
        stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        return hashlib.sha256(repr((key, self.num_steps, stats)).encode()).hexdigest()[:32]

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the structure of what is needed, one line each; contents are not read.

        Needed are the keys that are trained on unless others are named, and the episodes' ends.
        """
        yield from self.hindrances()
        for name in (f"data/{key}" for key in self._needed if key != "action"):
            if name in self._uncoded:
                yield f"{self.path}: {name}: {self.refused[name]}"

    def hindrances(self) -> Iterator[str]:
        """Yield those of the `problems` that keep it from being opened.

        An observation whose codec is not there is none to those who observe others; `check_key` refuses it.
        """
        if self.attrs.schema_version not in (None, SCHEMA_VERSION, VIDEO_VERSION):
            known = f"{SCHEMA_VERSION}, {VIDEO_VERSION}"
            yield f"{self.path}: unknown schema version {self.attrs.schema_version} (known: {known})"
        needed = self._needed
        for key in needed:
            if key != "action" and f"data/{key}" in self._uncoded:
                continue
            if f"data/{key}" in self.refused:
                yield f"{self.path}: data/{key}: {self.refused[f'data/{key}']}"
            elif key not in self._data:
                yield f"{self.path}: data/{key} is missing (there are: {', '.join(self.keys) or 'none'})"
        if "episode_ends" not in self._meta:
            yield f"{self.path}: meta/episode_ends {self.refused.get('meta/episode_ends', 'is missing')}"
            return
        problem = ends_problem(self.episode_ends)
        if problem:
            yield f"{self.path}: {problem}"
            return
        for key in needed:
            if key not in self._data:
                continue
            fault = self.fault(key) or shape_problem(key, self._data[key].shape)
            if fault:
                yield f"{self.path}: {fault}"

    def faults(self) -> Iterator[str]:
        """Yield what is wrong with arrays that nobody asked for, one line each; they are left out."""
        needed = {f"data/{key}" for key in self._needed} | {"meta/episode_ends"}
        for name, reason in self.refused.items():
            if name not in needed:
                yield f"{name}: {reason}"
        if "episode_ends" not in self._meta or ends_problem(self.episode_ends):
            return
        for key in self._data:
            fault = self.fault(key) or image_problem(key, self.shapes[key])
            if fault and f"data/{key}" not in needed:
                yield fault
        for name in self._meta:
            fault = self._meta_fault(name)
            if fault:
                yield fault

    @property
    def _needed(self) -> tuple[str, ...]:
        """The keys that are trained on unless others are named: the actions, and what is observed."""
        declared = self.attrs.obs_keys
        if not declared and ("state" in self._data or "data/state" in self.refused):
            declared = ("state",)  # what is trained on by default
        return ("action", *(key for key in declared or () if key != "action"))

    def fault(self, key: str) -> str | None:
        """Say why the rows of a key are not those of the episodes; None if they are."""
        array = self._data[key]
        if key == "action" and (problem := shape_problem(key, array.shape)):
            return problem
        if self.attrs.schema_version is not None and any(np.greater(array.chunks[1:], array.shape[1:])):
            return (
                f"data/{key} has steps of shape {array.shape[1:]} in chunks of {array.chunks[1:]}, which cuts them off"
            )
        length = array.shape[0] if array.ndim else 0
        # Our own stores may carry the rows of an episode that was being written when the writer died.
        if length < self.num_steps or (length > self.num_steps and self.attrs.schema_version is None):
            return f"data/{key} has {length} rows but the last of {self.num_episodes} episodes ends at {self.num_steps}"
        return self._videos.fault(key) if key in self._videos else None

    def _meta_fault(self, name: str) -> str | None:
        """Say why an array does not hold one number per episode."""
        array = self._meta[name]
        if name == "episode_ends" or (array.ndim == 1 and array.shape[0] >= self.num_episodes):
            return None
        return f"meta/{name} has shape {array.shape} for {self.num_episodes} episodes"

    def check_key(self, key: str) -> None:
        """Raise a UserError, and say why, if a key cannot be read."""
        if f"data/{key}" in self.refused:
            raise UserError(f"{self.path}: data/{key}: {self.refused[f'data/{key}']}")
        if key not in self._data:
            raise UserError(f"{self.path}: no key '{key}' (there are: {', '.join(self.keys)})")
        fault = self.fault(key)
        if fault:
            raise UserError(f"{self.path}: {fault}")

    def _read_ends(self, array: zarr.Array, checksum: str | None) -> np.ndarray:
        """The episodes' ends, all of them: a flipped bit in their number would leave episodes out silently.

        Stores that were written before there was a checksum have none.
        """
        ends = self._chunks.rows("meta/episode_ends", array, 0, array.shape[0])
        if checksum is not None and checksum != ends_checksum(ends):
            raise UserError(f"is damaged: {len(ends)} ends are not those that its checksum was made of")
        return ends

    def _array(self, key: str) -> zarr.Array:
        self.check_key(key)
        return self._data[key]


def _runs(wanted: np.ndarray | None, num_steps: int, chunk: int, rows: int) -> Iterator[tuple[int, int]]:
    """From where to where to decode: whole chunks that hold wanted rows, at most `rows` at once."""
    if wanted is None:
        yield from ((start, min(start + rows, num_steps)) for start in range(0, num_steps, rows))
        return
    needed = np.unique(np.flatnonzero(wanted) // chunk)
    for run in np.split(needed, np.flatnonzero(np.diff(needed) > 1) + 1):
        for first in range(0, len(run), rows // chunk):
            part = run[first : first + rows // chunk]
            yield int(part[0]) * chunk, min(int(part[-1] + 1) * chunk, num_steps)


def wanted_runs(first: int, slab: np.ndarray, wanted: np.ndarray | None) -> Iterator[tuple[int, np.ndarray]]:
    """The runs of neighboring rows of a slab that are wanted, (first row, rows) each.

    Args:
        first: Row of the store with which the slab begins.
        slab: Rows.
        wanted: Which of the store's, bool [time]; None for all.
    """
    here = np.ones(len(slab), bool) if wanted is None else wanted[first : first + len(slab)]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], here, [False]])))
    for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        yield first + start, slab[start:stop]


def usual_obs_keys(store: DemoStore) -> tuple[str, ...]:
    """What is observed where nothing else is asked for.

    The keys that the store declares, else "state", else the only key that there is, else none.
    """
    observed = tuple(key for key in store.keys if key != "action")
    return store.attrs.obs_keys or (("state",) if "state" in observed else observed if len(observed) == 1 else ())


def default_obs_keys(store: DemoStore) -> tuple[str, ...]:
    """The observation keys to train on: see `usual_obs_keys`.

    Raises:
        UserError: There are none.
    """
    if keys := usual_obs_keys(store):
        return keys
    choices = ", ".join(key for key in store.keys if key != "action")
    raise UserError(f"{store.path}: choose observations with `dataset.obs_keys` (there are: {choices})")

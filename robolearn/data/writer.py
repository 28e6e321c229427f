"""Appending demonstrations to a store.

Appending is crash-safe without a journal. Every file is replaced atomically; chunks go first, then the
shapes, and the shape of meta/episode_ends last of all: replacing that one file makes the episodes exist.
Rows beyond the last end belong to an episode that was never finished; the next append overwrites them.
Who writes holds the store's lock and appends to the end that is there, since two at once would lose episodes.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec
from zarr.storage import StorePath

from robolearn.config import read_json
from robolearn.data.attrs import SCHEMA_VERSION, StoreAttrs
from robolearn.data.checks import ends_checksum
from robolearn.data.chunks import Files, configured
from robolearn.data.fitting import EpisodeLayout, arrays_of
from robolearn.data.metadata import CHECKSUM
from robolearn.data.pieces import MAX_CHUNK_BYTES, append_rows
from robolearn.data.store import DemoStore
from robolearn.errors import UserError
from robolearn.files import remove
from robolearn.locks import LOCK_FILE, hold
from robolearn.remote.sync import fetched
from robolearn.types import Episode

ENDS = "meta/episode_ends/zarr.json"
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

    def note(self, key: str, attributes: dict[str, str]) -> None:
        """Give a document that waits these attributes, so that both are replaced at once."""
        self._held[key] = json.dumps({**json.loads(self._held[key]), "attributes": attributes}, indent=2).encode()

    def release(self) -> None:
        for key, content in self._held.items():
            target = self.root / key
            partial = target.with_suffix(".partial")
            partial.write_bytes(content)
            partial.replace(target)


class DemoWriter(DemoStore):
    """A store (zarr v3, directory) that grows by whole episodes; use `create` or `append_to`.

    Every call takes the store's lock; as a context a writer keeps it, so that nobody else can write in between.
    """

    _held: ExitStack | None = None

    def __init__(self, path: Path, files: _ChunksFirst) -> None:
        super().__init__(path, files)
        self._files = files

    @classmethod
    def create(cls, path: str | os.PathLike[str], *, attrs: StoreAttrs) -> DemoWriter:
        """Start an empty store.

        Raises:
            UserError: Something is there already, another process writes it, or the place cannot be written.
        """
        path = fetched(path)
        if path.exists() and (path.is_file() or any(path.iterdir())):
            raise UserError(f"{path}: exists already; choose another path or append to it")
        return cls.begin(path, attrs=attrs)

    @classmethod
    def begin(cls, path: str | os.PathLike[str], *, attrs: StoreAttrs) -> DemoWriter:
        """Start an empty store, also where one `is_unbegun`: its writer was killed before it had stored an episode.

        Raises:
            UserError: As `create`.
        """
        path = fetched(path)
        raw = _stated(attrs)
        with _writing(path):
            if not is_unbegun(path):
                raise UserError(f"{path}: exists already; choose another path or append to it")
            for folder in ("data", "meta"):  # in this order, so that a kill in between leaves an unbegun store too
                for array in (path / folder).glob("*/"):
                    remove(array)
            if (path / "zarr.json").exists():
                zarr.open_group(Files(path), mode="r+", use_consolidated=False).attrs.put(raw)
            else:
                zarr.create_group(Files(path), zarr_format=3, attributes=raw)
            return cls._open(path)

    @classmethod
    def append_to(cls, path: str | os.PathLike[str]) -> DemoWriter:
        """Open an existing store of this toolkit for appending; what a killed writer left over is cleared.

        Raises:
            UserError: There is none, another process writes it, or the place cannot be written.
        """
        path = fetched(path)
        if not path.is_dir():
            cls.open_unchecked(path)  # says what is wrong with it, unless it is a zip
            raise UserError(f"{path}: only a directory written by robolearn can be appended to; import it first")
        with _writing(path):
            return cls._open(path)

    @classmethod
    def begin_or_go_on(cls, path: str | os.PathLike[str], attrs: StoreAttrs, otherwise: str) -> DemoWriter:
        """Start a store, or append to the one that was started with the same attributes.

        Raises:
            UserError: As `begin` and `append_to`; or what is there has other attributes, was made `otherwise`.
        """
        path = fetched(path)
        if is_unbegun(path):
            return cls.begin(path, attrs=attrs)
        writer = cls.append_to(path)
        if writer.attrs != _ours(attrs):
            raise UserError(f"{path}: exists already, {otherwise}; choose another `out`")
        return writer

    @classmethod
    def _open(cls, path: Path) -> DemoWriter:
        there = cls.open_unchecked(path)
        if there.attrs.videos:
            raise UserError(f"{path}: nothing can be appended to a store with videos; import all episodes at once")
        if there.attrs.schema_version != SCHEMA_VERSION:
            raise UserError(f"{path}: only a directory written by robolearn can be appended to; import it first")
        broken = [*(f"{name}: {reason}" for name, reason in there.refused.items()), *there.faults()]
        if broken:  # said before zarr sees it
            raise UserError(f"{path}: {broken[0]}; only an intact store can be appended to")
        for leftover in path.rglob("*.partial"):
            if leftover.is_file():  # a key may be called so too
                leftover.unlink()
        plain = zarr.open_group(Files(path), mode="r+", use_consolidated=False)
        plain.require_group("data")
        meta = plain.require_group("meta")
        if "episode_ends" not in meta:
            layout: Any = {"shape": (0,), "chunks": (LOW_DIM_CHUNK,), "dtype": "int64", "compressors": _checked()}
            meta.create_array("episode_ends", **layout)
        with configured:  # arrays remember it: chunks of zeros are to be written
            return cls(path, _ChunksFirst(path))

    def __enter__(self) -> DemoWriter:
        with ExitStack() as held:
            held.enter_context(_writing(self.path))
            self._check_end()
            held.enter_context(configured)
            self._held = held.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.close()

    def restate(self, attrs: StoreAttrs) -> None:
        """Put other facts in the place of those that were stated, all at once."""
        zarr.open_group(Files(self.path), mode="r+", use_consolidated=False).attrs.put(_stated(attrs))
        self.attrs = _ours(attrs)

    def _check_end(self) -> None:
        """Raise a UserError if the store has grown since this writer opened it."""
        there = read_json(self.path / ENDS)["shape"][0]
        if there != self.num_episodes:
            raise UserError(
                f"{self.path}: another process has written to it meanwhile ({there} episodes, there were "
                f"{self.num_episodes}); open it again"
            )

    def append(self, episode: Episode) -> None:
        """Append one episode; see `extend`."""
        self.extend([episode])

    def extend(self, episodes: Sequence[Episode]) -> None:
        """Append episodes; after a kill at any moment either all of them are there or none.

        Raises:
            UserError: An episode does not fit the store, is empty or not finite; or the disk refuses, and
                then all episodes stored before are safe.
        """
        if not episodes:
            return
        layout = self._layout(episodes)
        for i, episode in enumerate(episodes):
            if problem := layout.problem(episode):
                raise UserError(f"{self.path}: episode {self.num_episodes + i}{problem}")
        ends = np.concatenate([self.episode_ends, self.num_steps + np.cumsum([len(e) for e in episodes])])
        try:
            with self if self._held is None else nullcontext():
                self._write(episodes, ends, layout)
        except OSError as error:
            raise UserError(
                f"{self.path}: cannot be written ({error.strerror}); "
                f"the {self.num_episodes} episodes stored before are safe"
            ) from error
        self.episode_ends = ends

    def _write(self, episodes: Sequence[Episode], ends: np.ndarray, layout: EpisodeLayout) -> None:
        self._files.hold()
        several = [arrays_of(e) for e in episodes]
        for key, dtype in layout.dtypes.items():
            parts = [arrays[key] for arrays in several]
            append_rows(self._require("data", self._data, key, layout.shapes[key], dtype), self.num_steps, parts)
        for name, dtype in layout.attrs.items():
            values = [np.array([e.attrs[name] for e in episodes])]
            append_rows(self._require("meta", self._meta, name, (), dtype), self.num_episodes, values)
        append_rows(self._meta["episode_ends"], self.num_episodes, [ends[self.num_episodes :]])
        self._files.note(ENDS, {CHECKSUM: ends_checksum(ends)})
        self._files.release()

    def _layout(self, episodes: Sequence[Episode]) -> EpisodeLayout:
        """What all episodes have in common; in an empty store what these have."""
        declared = self.attrs.obs_keys or ()
        if self.num_episodes == 0:
            return EpisodeLayout.from_episodes(episodes, declared)
        attrs = {name: array.dtype for name, array in self._meta.items() if name != "episode_ends"}
        return EpisodeLayout(self.shapes, self.dtypes, attrs, declared)

    def _require(
        self, folder: str, arrays: dict[str, zarr.Array], key: str, shape: tuple[int, ...], dtype: np.dtype
    ) -> zarr.Array:
        """The array of a key, created with the first episode (again, if a writer died during that)."""
        if self.num_episodes == 0:
            row_bytes = max(1, dtype.itemsize * math.prod(shape))
            rows = min(IMAGE_CHUNK if len(shape) == 3 else LOW_DIM_CHUNK, max(1, MAX_CHUNK_BYTES // row_bytes))
            created = zarr.create_array(
                Files(self.path),
                name=f"{folder}/{key}",
                shape=(0, *shape),
                chunks=(rows, *shape),
                dtype=dtype,
                compressors=_checked(),
                overwrite=True,
            )
            arrays[key] = zarr.Array.from_dict(StorePath(self._files, f"{folder}/{key}"), created.metadata.to_dict())
        return arrays[key]


def _stated(attrs: StoreAttrs) -> dict[str, Any]:
    """Attributes as JSON."""
    return {name: value for name, value in asdict(_ours(attrs)).items() if value is not None}


def _ours(attrs: StoreAttrs) -> StoreAttrs:
    """Attributes of a store of this layout, also where they come from one that declares none."""
    return replace(attrs, schema_version=SCHEMA_VERSION) if attrs.schema_version is None else attrs


def _checked() -> ZstdCodec:
    """The compressor of every array: its checksum shows a flipped bit."""
    return ZstdCodec(level=1, checksum=True)


def is_unbegun(path: Path) -> bool:
    """Whether nothing would be lost by starting a store there.

    True where nothing is, and where a writer started one and was killed before it had stored an episode.
    """
    if not path.exists():
        return True
    if not path.is_dir():
        return False
    names = {file.name for file in path.iterdir() if file.suffix != ".partial"} - {LOCK_FILE}
    if not names:
        return True
    ends = path / ENDS
    try:
        if not names <= {"zarr.json", "data", "meta"} or _attributes(path).get("schema_version") != SCHEMA_VERSION:
            return False
        if ends.exists():
            return read_json(ends)["shape"] == [0]
    except (ValueError, AttributeError, TypeError, KeyError):  # damaged: there may be something to save
        return False
    return not any((path / "data").glob("*/zarr.json"))


def _attributes(path: Path) -> dict[str, Any]:
    return read_json(path / "zarr.json").get("attributes", {})


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Hold the lock of a store; what the disk refuses becomes one line."""
    try:
        with hold(path):
            yield
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error

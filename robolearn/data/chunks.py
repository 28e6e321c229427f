"""Rows out of zarr's chunk files: files are read and weighed here, and only their content is handed to zarr."""

from __future__ import annotations

import itertools
import math
import threading
from contextlib import ExitStack
from typing import Any

import numpy as np
import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import LocalStore, MemoryStore, StorePath

from robolearn.data.codecs import check_decoded_size
from robolearn.data.container import Container
from robolearn.data.metadata import ArrayFacts, read_array_facts
from robolearn.errors import UserError

# One batch over all chunks of a slab: 1.5x faster on small chunks.
# Chunks of zeros are written, so that in a store of this toolkit a missing file always means damage.
CONFIG = {"codec_pipeline.batch_size": 4096, "async.concurrency": 4096, "array.write_empty_chunks": True}
MAX_OVERHEAD = 2 << 20  # bytes of a chunk's file beside twice its numbers: heads, checksums, a shard's index
PLACE = "array"  # of an array in the memory that zarr reads from


class _Configured:
    """zarr's configuration while stores are read and written, to be entered by any number of threads.

    zarr has one for all of them. Who set it and set it back alone would take it from the others, or leave it to the
    program for good. So the first one sets it, and the last one sets back what was there.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._held = threading.Lock(), 0, ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._held.enter_context(zarr.config.set(CONFIG))
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._held.close()


configured = _Configured()


class Files(LocalStore):
    """A directory, read without a thread per file."""

    async def get(self, key, prototype=None, byte_range=None):
        """Read a whole file directly; leave ranges to zarr."""
        if byte_range is not None or prototype is None:
            return await super().get(key, prototype, byte_range)
        try:
            return prototype.buffer.from_bytes((self.root / key).read_bytes())
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None


class ChunkReader:
    """Decodes rows of a store's arrays.

    Args:
        container: The store's files.
        zarr_format: 2 or 3.
        fills: Whether chunks that are absent hold the fill value, as zarr reads them; if not they are damage.

    Attributes:
        absent: Name of an array -> keys of its chunks that were absent and filled, of those read.
    """

    def __init__(self, container: Container, zarr_format: int, *, fills: bool) -> None:
        self.container, self.zarr_format, self.fills = container, zarr_format, fills
        self.absent: dict[str, set[str]] = {}
        self._facts: dict[str, ArrayFacts] = {}
        self._there: dict[str, dict[str, int]] = {}

    def rows(self, name: str, array: zarr.Array, start: int, stop: int) -> np.ndarray:
        """Decode the rows from `start` up to `stop`.

        Raises:
            UserError: A chunk is missing, cut off, undecodable or larger than it says; the message names its file.
        """
        facts = self.facts(name)
        first, last = start // facts.chunk[0], -(-stop // facts.chunk[0])
        if stop <= start:
            return np.empty((0, *array.shape[1:]), array.dtype)
        inner = [range(-(-size // step)) for size, step in zip(array.shape[1:], facts.chunk[1:], strict=True)]
        keys = [array.metadata.encode_chunk_key(at) for at in itertools.product(range(first, last), *inner)]
        contents = self._contents(facts, array, keys)
        try:
            if len(contents) == len(keys) and _is_plain_v2(array):
                rows = np.concatenate([_decode_v2(array, contents[key]) for key in keys])
                return rows[start - first * facts.chunk[0] : stop - first * facts.chunk[0]]
            if not contents:
                return np.full((stop - start, *array.shape[1:]), array.fill_value, array.dtype)
            return _decode(array, contents, start, stop)
        except Exception as error:  # codecs raise what they like; the reader needs the file's name
            if last - first == 1:
                raise UserError(f"{self.container.path}: chunk {name}/{keys[0]} is damaged ({error})") from error
            middle = facts.chunk[0] * ((first + last) // 2)
            self.rows(name, array, start, middle)
            self.rows(name, array, middle, stop)
            raise

    def facts(self, name: str) -> ArrayFacts:
        """Codecs and chunks of an array, which do not change while it grows."""
        if name not in self._facts:
            facts = read_array_facts(self.container, name, self.zarr_format)
            if facts is None:
                raise UserError(f"{self.container.path}: {name} has lost its metadata")
            self._facts[name] = facts
        return self._facts[name]

    def _contents(self, facts: ArrayFacts, array: zarr.Array, keys: list[str]) -> dict[str, bytes]:
        """Key -> content of the chunks that are there, weighed."""
        path, contents = self.container.path, {}
        limit = 2 * math.prod(facts.chunk) * facts.dtype.itemsize + MAX_OVERHEAD
        for key in keys:
            file = f"{facts.name}/{key}"
            known = self._there.get(facts.name)
            content = None if known is not None and file not in known else self.container.read(file, limit)
            if content is None:
                if not self.fills or not facts.has_fill:
                    raise UserError(f"{path}: chunk {file} is missing; its rows are lost")
                if known is None:  # there may be millions of them
                    self._there[facts.name] = self.container.sizes(facts.name)
                self.absent.setdefault(facts.name, set()).add(key)
                continue
            try:
                for part in _parts(facts, content):
                    check_decoded_size(facts.compressor, part, facts.encoded)
            except (ValueError, RuntimeError) as error:
                raise UserError(f"{path}: chunk {file} is damaged ({error})") from error
            contents[key] = content
        return contents


def _parts(facts: ArrayFacts, content: bytes) -> list[bytes | memoryview]:
    """What is compressed as one: a file, or the chunks in a sharded one, found by its index (zarr v3, ZEP 2)."""
    if facts.index is None:
        return [content]
    at_end, checksum = facts.index
    count = math.prod(a // b for a, b in zip(facts.chunk, facts.inner, strict=True))
    size = 16 * count
    if len(content) < size + checksum:
        raise UserError(f"is cut off after {len(content)} bytes")
    begin = len(content) - size - checksum if at_end else 0
    index = np.frombuffer(content[begin : begin + size], "<u8").reshape(count, 2)
    view, parts = memoryview(content), []  # chunks may lie over one another: not copied
    for offset, length in index[(index != np.iinfo(np.uint64).max).any(axis=1)].tolist():
        if offset + length > len(content):
            raise UserError(f"has a chunk at {offset} of {length} bytes, beyond the end of the file")
        parts.append(view[offset : offset + length])
    return parts


def _decode(array: zarr.Array, contents: dict[str, bytes], start: int, stop: int) -> np.ndarray:
    """Let zarr decode chunks in memory."""
    make = default_buffer_prototype().buffer.from_bytes
    memory = MemoryStore({f"{PLACE}/{key}": make(content) for key, content in contents.items()})
    with configured:
        there: Any = zarr.AsyncArray(array.metadata, StorePath(memory, PLACE))
        return np.asarray(zarr.Array(there)[start:stop])


def _is_plain_v2(array: zarr.Array) -> bool:
    """Whether chunks are whole rows of numbers behind at most one codec, as Diffusion Policy writes them."""
    metadata = array.metadata
    return (
        metadata.zarr_format == 2
        and metadata.order == "C"
        and array.chunks[1:] == array.shape[1:]
        and not array.filters
    )


def _decode_v2(array: zarr.Array, content: bytes) -> np.ndarray:
    """Decode a chunk directly; zarr's coroutine and thread per chunk cost 3x more than the decoding."""
    decoded: Any = content
    for codec in array.compressors:
        decoded = codec.decode(decoded)
    return np.frombuffer(decoded, array.dtype).reshape(array.chunks)

"""What a store's zarr metadata say, read as plain JSON and admitted before zarr sees any of it.

zarr makes an array's codecs when it opens the array, also of arrays that nobody asked for. So nothing is opened here:
every document is read with a bounded size and depth, and only arrays of numbers in admitted codecs and with sizes that
a computer can hold are handed on. The others are named with the reason. Consolidated metadata are not read.

    v2    .zgroup  .zattrs       data/<key>/.zarray
    v3    zarr.json              data/<key>/zarr.json
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from robolearn.config import parse_json
from robolearn.data.codecs import (
    CODECS_V3,
    COMPRESSORS_V2,
    COMPRESSORS_V3,
    FILTERS_V2,
    NUMBERS_V2,
    NUMBERS_V3,
    CodecError,
    check_codec_v2,
)
from robolearn.data.container import Container
from robolearn.data.keys import file_problem
from robolearn.errors import UserError

CHECKSUM = "sha256"  # attribute in which a writer notes that of an array's decoded content
CHUNK_GUIDE = "docs/format.md, section Chunks that are too large"
GROUP = "is a group, not an array; arrays lie side by side, and their names hold no slash"
MAX_DOCUMENT = 16 << 20  # bytes of a document, attributes included
# Bytes decoded, of a chunk or of the chunks that lie side by side. They are held twice; with all else that is < 1 GB.
# 100 images of 1280 x 720, which is what a chunk of ours once was, take 264 MiB.
MAX_CHUNK = 320 << 20
MAX_CHUNKS, MAX_BESIDE = 1 << 22, 1 << 16  # of an array, and side by side
MAX_ARRAY = 1 << 44  # bytes decoded
# What an array may claim to be without files to show for it, and how far the best codec shrinks what is constant.
FREE_CLAIM, MAX_RATIO = 1 << 30, 10**5


@dataclass(frozen=True)
class ArrayFacts:
    """An admitted array.

    Attributes:
        name: Path in the store, such as data/state.
        metadata: For zarr; attributes are left out.
        shape: As it was when read; a writer lets it grow.
        dtype: Of its numbers.
        chunk: Sizes that one file holds.
        inner: Sizes that are compressed as one: those of `chunk`, or in a sharded file smaller ones.
        compressor: Outermost compressor of those, if any.
        encoded: Bytes that the compressor gives back.
        index: Of sharded files: (whether the index is at the file's end, bytes of its checksum).
        has_fill: Whether it says what chunks hold that are absent.
        checksum: Of its decoded content, where our writer noted one.
    """

    name: str
    metadata: dict[str, Any]
    shape: tuple[int, ...]
    dtype: np.dtype
    chunk: tuple[int, ...]
    inner: tuple[int, ...]
    compressor: str | None
    encoded: int
    index: tuple[bool, int] | None
    has_fill: bool
    checksum: str | None = None


@dataclass(frozen=True)
class Layout:
    """What there is in a store.

    Attributes:
        zarr_format: 2 or 3.
        attrs: Of the root group.
        arrays: Name -> what is admitted.
        refused: Name -> why something in data or meta is not.
        uncoded: Those of them whose codec is not admitted.
    """

    zarr_format: int
    attrs: dict[str, Any]
    arrays: dict[str, ArrayFacts] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    uncoded: set[str] = field(default_factory=set)


def read_layout(container: Container) -> Layout:
    """Read the root and what lies in its groups data and meta.

    Raises:
        UserError: It is no store, or its root is damaged; what is wrong with an array is in `refused`.
    """
    root = _document(container, "zarr.json")
    if root is not None:
        if root.get("zarr_format") != 3 or root.get("node_type") != "group":
            raise UserError(f"{container.path}: damaged zarr metadata: zarr.json is not of a group of zarr format 3")
        zarr_format, attrs = 3, root.get("attributes", {})
    else:
        root = _document(container, ".zgroup")
        if root is None:
            raise UserError(f"{container.path}: not a zarr store (no zarr.json and no .zgroup in its root)")
        if root.get("zarr_format") != 2:
            raise UserError(f"{container.path}: damaged zarr metadata: .zgroup is not of zarr format 2")
        zarr_format, attrs = 2, _document(container, ".zattrs") or {}
    if not isinstance(attrs, dict):
        raise UserError(f"{container.path}: damaged zarr metadata: the attributes are {attrs!r:.80}, not an object")
    layout = Layout(zarr_format, attrs)
    for folder in ("data", "meta"):
        for child in container.children(folder):
            name = f"{folder}/{child}"
            try:
                facts = read_array_facts(container, name, zarr_format)
            except (UserError, OSError) as error:
                if isinstance(error, CodecError):
                    layout.uncoded.add(name)
                layout.refused[name] = str(error).removeprefix(f"{container.path}: ").removeprefix(f"{name}: ")
            else:
                if facts is not None:
                    layout.arrays[name] = facts
    return layout


def read_array_facts(container: Container, name: str, zarr_format: int) -> ArrayFacts | None:
    """Facts of one array; None where a folder says nothing of itself, as one does whose writer died.

    Raises:
        UserError: It is not admitted, and why.
    """
    if problem := file_problem(name.partition("/")[2]):
        raise UserError(problem)
    if zarr_format == 2:
        raw = _document(container, f"{name}/.zarray")
        if raw is None and _document(container, f"{name}/.zgroup") is not None:
            raise UserError(GROUP)
        facts = None if raw is None else _facts_v2(name, raw)
    else:
        raw = _document(container, f"{name}/zarr.json")
        facts = None if raw is None else _facts_v3(name, raw)
    if facts is not None:
        _check_sizes(facts)
        claim = math.prod(facts.shape) * facts.dtype.itemsize
        if claim > FREE_CLAIM and claim > MAX_RATIO * (stored := sum(container.sizes(name).values())):
            raise UserError(f"claims to be {claim} bytes, its files have {stored}")
    return facts


def _document(container: Container, name: str) -> dict[str, Any] | None:
    content = container.read(name, MAX_DOCUMENT)
    if content is None:
        return None
    value = parse_json(content, f"{container.path}: damaged zarr metadata: {name}")
    if not isinstance(value, dict):
        raise UserError(f"{container.path}: damaged zarr metadata: {name} is not an object")
    return value


def _facts_v2(name: str, raw: dict[str, Any]) -> ArrayFacts:
    if raw.get("zarr_format") != 2:
        raise UserError(f"has zarr format {raw.get('zarr_format')!r}, expected 2")
    shape, chunk = _sizes(raw.get("shape"), "shape", 0), _sizes(raw.get("chunks"), "chunks", 1)
    kind = raw.get("dtype")
    if not isinstance(kind, str) or not NUMBERS_V2.fullmatch(kind):
        raise UserError(f"has type {kind!r:.60}; only truth values, integers and floats of 1 to 8 bytes are read")
    dtype = np.dtype(kind)
    compressor, filters = raw.get("compressor"), raw.get("filters") or []
    if compressor is not None:
        compressor = check_codec_v2(compressor, COMPRESSORS_V2, "compressor")
    if not isinstance(filters, list):
        raise UserError(f"has filters {filters!r:.60}, not a list")
    for one in filters:
        check_codec_v2(one, FILTERS_V2, "filter")
    if raw.get("order") not in ("C", "F") or raw.get("dimension_separator", ".") not in (".", "/"):
        raise UserError("has an order other than C and F, or a dimension_separator other than . and /")
    known = ("zarr_format", "shape", "chunks", "dtype", "compressor", "order", "fill_value", "dimension_separator")
    metadata = {key: raw[key] for key in known if key in raw}
    metadata = {"fill_value": None, "compressor": None, **metadata, "filters": filters or None}
    # A filter may store another type than the array's; none has more than 8 bytes.
    encoded = math.prod(chunk) * (8 if filters else dtype.itemsize)
    has_fill = raw.get("fill_value") is not None
    return ArrayFacts(name, metadata, shape, dtype, chunk, chunk, compressor, encoded, None, has_fill)


def _facts_v3(name: str, raw: dict[str, Any]) -> ArrayFacts:
    if raw.get("node_type") == "group":
        raise UserError(GROUP)
    if raw.get("zarr_format") != 3 or raw.get("node_type") != "array":
        raise UserError("is not an array of zarr format 3")
    kind = raw.get("data_type")
    if not isinstance(kind, str) or not NUMBERS_V3.fullmatch(kind):
        raise UserError(f"has type {kind!r:.60}; only truth values, integers and floats of 1 to 8 bytes are read")
    if raw.get("storage_transformers"):
        raise UserError("has storage transformers; none are admitted")
    dtype = np.dtype(kind)
    name_of_grid, grid = _named(raw.get("chunk_grid"), "chunk_grid")
    if name_of_grid != "regular":
        raise UserError(f"has the chunk grid {name_of_grid!r}; only regular ones are read")
    shape, chunk = _sizes(raw.get("shape"), "shape", 0), _sizes(grid.get("chunk_shape"), "chunk_shape", 1)
    inner, compressor, index = _codecs_v3(raw.get("codecs"), chunk, shards=True)
    metadata = {key: value for key, value in raw.items() if key not in ("attributes", "consolidated_metadata")}
    encoded, has_fill, attributes = math.prod(inner) * dtype.itemsize, "fill_value" in raw, raw.get("attributes")
    checksum = attributes.get(CHECKSUM) if isinstance(attributes, dict) else None
    return ArrayFacts(name, metadata, shape, dtype, chunk, inner, compressor, encoded, index, has_fill, checksum)


def _codecs_v3(
    raw: Any, chunk: tuple[int, ...], *, shards: bool
) -> tuple[tuple[int, ...], str | None, tuple[bool, int] | None]:
    """Check a chain of codecs of v3; see ArrayFacts for what is returned: inner, compressor and index."""
    if not isinstance(raw, list) or not raw:
        raise UserError(f"has codecs {raw!r:.60}, not a list")
    inner, index, compressors = chunk, None, []
    for one in raw:
        name, options = _named(one, "codec")
        if name not in CODECS_V3 or (name == "sharding_indexed" and not shards):
            raise CodecError(f"codec {name!r:.60} is not admitted here (there are: {', '.join(CODECS_V3)})")
        if name in COMPRESSORS_V3:
            compressors.append(name)
        if name == "sharding_indexed":
            inner = _sizes(options.get("chunk_shape"), "chunk_shape of its shards", 1)
            if len(inner) != len(chunk) or any(a % b for a, b in zip(chunk, inner, strict=True)):
                raise UserError(f"has shards of {chunk} that chunks of {inner} do not fill")
            if math.prod(chunk) > MAX_BESIDE * math.prod(inner):
                raise UserError(f"has more than {MAX_BESIDE} chunks in a shard")
            _, within, _ = _codecs_v3(options.get("codecs"), inner, shards=False)
            compressors += [within] if within else []
            index = _index(options)
    if len(compressors) > 1 or (index and len(raw) > 1):
        raise UserError("compresses what is compressed; one compressor is admitted")
    return inner, compressors[0] if compressors else None, index


def _index(options: dict[str, Any]) -> tuple[bool, int]:
    """Where a shard's index is and how long its checksum."""
    names = [_named(one, "index codec") for one in options.get("index_codecs") or [{"name": "bytes"}]]
    kinds = [name for name, _ in names]
    if kinds not in (["bytes"], ["bytes", "crc32c"]) or names[0][1].get("endian", "little") != "little":
        raise UserError(f"has the index codecs {kinds}; admitted are bytes (little) and crc32c")
    location = options.get("index_location", "end")
    if location not in ("start", "end"):
        raise UserError(f"has the index location {location!r:.60}; choose start or end")
    return location == "end", 4 if "crc32c" in kinds else 0


def _named(raw: Any, what: str) -> tuple[str, dict[str, Any]]:
    """Name and configuration of an extension point of v3."""
    if isinstance(raw, str):
        return raw, {}
    options = raw.get("configuration") or {} if isinstance(raw, dict) else None
    if not isinstance(options, dict) or not isinstance(raw.get("name"), str):
        raise UserError(f"has the {what} {raw!r:.60}, no name with a configuration")
    return raw["name"], options


def _sizes(raw: Any, what: str, least: int) -> tuple[int, ...]:
    if not isinstance(raw, list) or not all(type(size) is int and size >= least for size in raw):
        raise UserError(f"has the {what} {raw!r:.60}, no list of whole numbers of at least {least}")
    return tuple(raw)


def _check_sizes(facts: ArrayFacts) -> None:
    """Refuse what no computer holds, before memory is asked for."""
    shape, chunk, item = facts.shape, facts.chunk, facts.dtype.itemsize
    if len(shape) != len(chunk):
        raise UserError(f"has {len(shape)} axes in chunks of {len(chunk)}")
    if len(shape) > 8:
        raise UserError(f"has {len(shape)} axes; at most 8 are read")
    counts = [-(-size // step) for size, step in zip(shape, chunk, strict=True)]
    beside = math.prod(counts[1:])
    side_by_side = min(chunk[0], shape[0]) * math.prod(shape[1:]) * item if shape else item
    again = f"; write it again with other chunks, see {CHUNK_GUIDE}"
    for count, limit, what, advice in (
        (math.prod(shape) * item, MAX_ARRAY, "bytes", ""),
        (max(math.prod(chunk) * item, side_by_side), MAX_CHUNK, "bytes per chunk or row of chunks", again),
        (math.prod(counts), MAX_CHUNKS, "chunks", again),
        (beside, MAX_BESIDE, "chunks side by side", again),
    ):
        if count > limit:
            raise UserError(f"claims {count} {what}; at most {limit} are read{advice}")

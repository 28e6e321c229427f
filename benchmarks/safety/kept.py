"""The raw episodes of all units in one small file, benchmarks/safety/raw.xz: what every figure needs, and no more.

An alarm, a threshold and an AUC see of a score its order alone, and at each moment the largest so far. So what is kept
of the scores of watched episodes is, at each replanning, the rank of the largest so far among all of that policy and
score. Two exceptions: bands need the values of disagreement, without shift those of every replanning of a success;
episodes that only set a threshold for whole ones have their largest score alone. Scores that no figure needs are left
out: runs/safety/raw has them.

The file is an xz stream: a line of JSON, key -> dtype and shape (or a text), then the arrays, those of one field after
one another. Of an array stands there where it changes (a byte for each number), then what to, bytes of equal
significance together.
"""

from __future__ import annotations

import json
import lzma
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from benchmarks.safety.raw import KEPT, Episodes, Raw, load_unit
from benchmarks.safety.study import SCORES
from robolearn.files import replacing
from robolearn.types import Array

VALUES = "disagreement"


def pack(root: Path, out: Path = KEPT) -> int:
    """Put all units that are done into one file; return how many there are."""
    arrays: dict[str, Array] = {}
    paths = sorted((root / "raw").rglob("*.npz"))
    for path in paths:
        arrays |= load_unit(root, str(path.relative_to(root / "raw").with_suffix("")))
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as part:
        part.write_bytes(compressed(condensed(Raw(arrays))))
    return len(paths)


def read(path: Path = KEPT) -> Raw:
    """Read the kept file.

    Raises:
        FileNotFoundError: There is none.
    """
    return Raw(decompressed(path.read_bytes()))


def condensed(raw: Raw) -> dict[str, Array]:
    """What the figures need; they come out the same."""
    kept = {key: raw[key] for key in raw if key.startswith("cost/") or key.rsplit("/", 1)[1] not in SCORES}
    units = sorted({key.rsplit("/", 1)[0] for key in raw if key.startswith("watched/")})
    for policy in sorted({tuple(unit.split("/")[:3]) for unit in units}):
        mine = {unit: raw.episodes(unit) for unit in units if unit.startswith("/".join(policy) + "/")}
        for name in SCORES:
            values = [_largest_so_far(unit, episodes, name) for unit, episodes in mine.items()]
            if name != VALUES:
                ranks = np.unique(np.concatenate(values), return_inverse=True)[1]
                ends = np.cumsum([len(part) for part in values])
                values = np.split(ranks.astype(np.min_scalar_type(len(ranks))), ends[:-1])
            kept |= {f"{unit}/{name}": value for unit, value in zip(mine, values, strict=True)}
    return kept


def _largest_so_far(unit: str, episodes: Episodes, name: str) -> Array:
    """At each replanning [p]; a NaN, which alarms at any threshold, is the largest."""
    _, _, _, shift, purpose = unit.split("/")
    scores, maxima = np.split(episodes.scores[name], np.cumsum(episodes.plans.astype(int))[:-1]), []
    for values, success in zip(scores, episodes.success, strict=True):
        largest = np.maximum.accumulate(values)
        if name == VALUES and shift == "none" and success:
            largest = values
        elif shift != "none" and purpose != "evaluation":
            largest = np.where(largest == largest[-1], largest, -np.inf).astype(values.dtype)
        maxima.append(largest)
    return np.concatenate(maxima)


def compressed(arrays: Mapping[str, Array]) -> bytes:
    """Bytes of a file, the same for the same arrays."""
    index = {key: str(a) if a.dtype.kind == "U" else [a.dtype.str, a.shape] for key, a in arrays.items()}
    parts = [json.dumps(index, separators=(",", ":")).encode() + b"\n"]
    for keys in _by_field(index):
        flat = np.concatenate([arrays[key].ravel() for key in keys])
        rows = flat.view(np.uint8).reshape(-1, flat.itemsize)
        changes = np.ones(len(rows), bool)
        changes[1:] = (rows[1:] != rows[:-1]).any(1)
        parts += [changes.tobytes(), rows[changes].T.tobytes()]
    return lzma.compress(b"".join(parts), preset=9 | lzma.PRESET_EXTREME)


def decompressed(data: bytes) -> dict[str, Array]:
    """The arrays of a file's bytes."""
    head, _, body = lzma.decompress(data).partition(b"\n")
    index, at = json.loads(head), 0
    arrays = {key: np.asarray(what) for key, what in index.items() if isinstance(what, str)}
    for keys in _by_field(index):
        dtype, sizes = np.dtype(index[keys[0]][0]), [math.prod(index[key][1]) for key in keys]
        changes = np.frombuffer(body, bool, sum(sizes), at)
        at, count = at + len(changes), int(changes.sum())
        planes = np.frombuffer(body, np.uint8, count * dtype.itemsize, at).reshape(dtype.itemsize, count)
        at += planes.size
        flat = np.ascontiguousarray(planes.T).view(dtype)[:, 0][np.cumsum(changes) - 1]
        parts = np.split(flat, np.cumsum(sizes)[:-1])
        arrays |= {key: part.reshape(index[key][1]) for key, part in zip(keys, parts, strict=True)}
    return {key: arrays[key] for key in index}


def _by_field(index: Mapping[str, str | list]) -> Iterable[list[str]]:
    """Keys of the arrays of one field and dtype, in their order."""
    groups: dict[tuple[str, str], list[str]] = {}
    for key, what in index.items():
        if not isinstance(what, str):
            groups.setdefault((key.rsplit("/", 1)[1], what[0]), []).append(key)
    return groups.values()

"""What is in a store and what looks wrong, as numbers; `inspect` prints it. Damage is reported."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field

import numpy as np

from robolearn.data.checks import ends_problem, rows_problem
from robolearn.data.decode import stray_color
from robolearn.data.glitches import squeezed
from robolearn.data.normalizer import ABSOLUTE_RANGE, RELATIVE_RANGE
from robolearn.data.store import DemoStore
from robolearn.errors import UserError
from robolearn.images import ImageRange, seen_shape

# A jump: a change above 20 x the median of the steps that move at all, and above 5 % of the range. The first
# part of the rule leaves quantities alone that rest most of the time, the second those that hardly move.
JUMP_FACTOR, JUMP_RANGE = 20.0, 0.05
MAX_COLUMNS, MAX_ROWS_BYTES = 512, 1 << 27  # of a key that is looked at dimension by dimension


@dataclass
class Jumps:
    """Changes from one step to the next that stand out, in one dimension.

    Attributes:
        count: How many.
        episode: Where the largest is.
        step: The step it leads to.
        before: Value before the largest.
        after: Value after it.
        factor: Its size relative to the median change of that dimension.
    """

    key: str
    dim: int
    count: int
    episode: int
    step: int
    before: float
    after: float
    factor: float


@dataclass
class Column:
    """Range of one dimension of a key, or of all pixels of an image (then `dim` is None)."""

    key: str
    dim: int | None
    low: float
    high: float
    mean: float
    std: float
    near_constant: bool


@dataclass
class Findings:
    """Everything `inspect` found.

    Attributes:
        problems: One line each; a store with any of them cannot be trained on, or not with that key.
        notes: One line each: what was left out, and what is odd but no hindrance.
        not_finite: Key -> number of NaN or infinite entries.
        lengths: Steps per episode [e]; empty where the ends make no sense.
        duplicates: Pairs of episodes with identical actions and low-dimensional observations.
        jumps: Per dimension that has any, the largest first.
    """

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    not_finite: dict[str, int] = field(default_factory=dict)
    columns: list[Column] = field(default_factory=list)
    lengths: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    duplicates: list[tuple[int, int]] = field(default_factory=list)
    jumps: list[Jumps] = field(default_factory=list)


def examine(store: DemoStore) -> Findings:
    """Read the whole store once and collect what can be said about it."""
    report = Findings(problems=list(store.problems()), notes=list(store.faults()))
    intact = ends_problem(store.episode_ends) is None
    ends = store.episode_ends if intact else np.zeros(0, np.int64)
    report.lengths = np.diff(ends.astype(np.int64), prepend=0)
    low_dim: dict[str, np.ndarray] = {}
    for key in store.keys if intact and store.num_steps else ():
        if store.fault(key):
            continue
        try:
            numbers = math.prod(store.shapes[key])
            size = store.num_steps * numbers * store.dtypes[key].itemsize
            if seen_shape(store.shapes[key]) is not None or numbers > MAX_COLUMNS or size > MAX_ROWS_BYTES:
                _examine_whole(store, key, ends, report)
            else:
                low_dim[key] = store.read(key).reshape(store.num_steps, -1)
        except (UserError, OSError) as error:
            if str(error) not in report.problems:
                report.problems.append(str(error))
        if absent := store.absent(key):
            report.notes.append(f"data/{key}: {absent} chunks are absent and were read as the fill value, as zarr does")
    for key, rows in low_dim.items():
        _examine_rows(store, key, rows, ends, report)
    report.jumps.sort(key=lambda jump: -jump.factor)
    report.duplicates = _duplicates(low_dim, ends)
    return report


def _examine_whole(store: DemoStore, key: str, ends: np.ndarray, report: Findings) -> None:
    """Look at images, and at what is too large to look at dimension by dimension: one range for all."""
    low, high, total, squares, count, faulty = np.inf, -np.inf, 0.0, 0.0, 0, False
    seen = seen_shape(store.shapes[key])
    measured = None if seen is None else ImageRange(seen[2], store.num_steps * math.prod(seen))
    for start, slab in store.slabs(key):
        problem = rows_problem(key, slab, ends, start)
        if problem and not faulty:
            report.problems.append(f"{store.path}: {problem}")
            faulty = True
        bad = 0 if problem is None else int((~np.isfinite(slab)).sum())
        if bad:
            report.not_finite[key] = report.not_finite.get(key, 0) + bad
        good = slab if bad == 0 else slab[np.isfinite(slab)]
        if good.size == 0:
            continue
        low, high = min(low, float(good.min())), max(high, float(good.max()))
        total += float(good.sum(dtype=np.float64))
        if measured is not None:
            measured.add(good)
        with np.errstate(over="ignore"):
            squares += float(np.square(good, dtype=np.float64).sum())
        count += good.size
    if measured is not None and not faulty and measured.layout("hwc") is None:
        report.problems.append(stray_color(key, [store]))
    if count:
        mean = total / count
        with np.errstate(over="ignore", invalid="ignore"):  # numbers that float32 cannot hold may have no square either
            std = float(np.sqrt(np.maximum(squares / count - np.square(mean), 0.0)))
        report.columns.append(Column(key, None, low, high, mean, std, _is_near_constant(low, high)))


def _examine_rows(store: DemoStore, key: str, rows: np.ndarray, ends: np.ndarray, report: Findings) -> None:
    problem = rows_problem(key, rows, ends)
    finite = np.isfinite(rows)
    if problem:
        report.problems.append(f"{store.path}: {problem}")
    else:
        report.notes += squeezed(key, rows, ends)
    if not finite.all():
        report.not_finite[key] = int((~finite).sum())
    for dim in range(rows.shape[1]):
        good = rows[finite[:, dim], dim].astype(np.float64)
        if len(good) == 0:
            continue
        low, high = float(good.min()), float(good.max())
        constant = _is_near_constant(low, high)
        with np.errstate(over="ignore", invalid="ignore"):
            report.columns.append(Column(key, dim, low, high, float(good.mean()), float(good.std()), constant))
        jumps = None if constant else _jumps(key, dim, rows[:, dim].astype(np.float64), ends)
        if jumps:
            report.jumps.append(jumps)


def _is_near_constant(low: float, high: float) -> bool:
    """The normalizer's rule."""
    return high - low < max(RELATIVE_RANGE * max(abs(low), abs(high)), ABSOLUTE_RANGE)


def _jumps(key: str, dim: int, x: np.ndarray, ends: np.ndarray) -> Jumps | None:
    with np.errstate(over="ignore", invalid="ignore"):
        change = np.abs(np.diff(x))
    change[ends[:-1] - 1] = 0  # from one episode to the next
    change[~np.isfinite(change)] = 0
    moving = change[change > 0]
    if len(moving) == 0:
        return None
    usual, span = float(np.median(moving)), float(np.nanmax(x) - np.nanmin(x))
    count = int(((change > JUMP_FACTOR * usual) & (change > JUMP_RANGE * span)).sum())
    if count == 0:
        return None
    row = int(change.argmax())
    episode = int(np.searchsorted(ends, row, side="right"))
    step = row + 1 - (int(ends[episode - 1]) if episode else 0)
    return Jumps(key, dim, count, episode, step, float(x[row]), float(x[row + 1]), float(change[row]) / usual)


def _duplicates(arrays: dict[str, np.ndarray], ends: np.ndarray) -> list[tuple[int, int]]:
    if not arrays:
        return []
    seen: dict[bytes, int] = {}
    pairs = []
    for i, (start, stop) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        digest = hashlib.sha256()
        for rows in arrays.values():
            digest.update(np.ascontiguousarray(rows[start:stop]).data)
        first = seen.setdefault(digest.digest(), i)
        if first != i:
            pairs.append((first, i))
    return pairs

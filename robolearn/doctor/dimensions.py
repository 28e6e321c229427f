"""Single dimensions: those that hardly vary, that tell the time, that a glitch squeezes, and that jump."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from robolearn.data.glitches import squeezed
from robolearn.doctor.finding import Finding, drop
from robolearn.doctor.recording import Recording
from robolearn.types import Array

# A jump: a change above 20 x the median of the steps that move at all, and above 5 % of the range. The first
# part of the rule leaves quantities alone that rest most of the time, the second those that hardly move.
JUMP_FACTOR, JUMP_RANGE = 20.0, 0.05
LATE = 1e9  # [s] since 1970, in 2001; more in any smaller unit


def near_constant(recording: Recording) -> Iterator[Finding]:
    """Dimensions that carry rounding but no information; the normalizer only shifts them."""
    for key in dict.fromkeys(column.key for column in recording.columns):
        dims = [c.dim for c in recording.columns if c.key == key and c.near_constant and c.dim is not None]
        if dims:
            sentence = f"data/{key}{dims} hardly varies; the normalizer only shifts it"
            yield Finding("near-constant dimensions", "note", sentence, "", key, tuple(dims))


def times_of_day(recording: Recording) -> Iterator[Finding]:
    """Observed times since 1970: whatever policy sees one acts at a time at which nothing was demonstrated."""
    seen, declared = recording.observed, recording.attrs.obs_keys
    keys = declared or (("state",) if "state" in seen else (*seen, *recording.cameras))
    times = {key: dims for key, rows in seen.items() if key in keys and (dims := _times(recording, rows))}
    others = [key for key in keys if key not in times]
    for key, dims in times.items():
        sentence = f"data/{key}{dims} looks like a time since 1970: it is another whenever a policy acts"
        whole = others and all(len(dims) == seen[key].shape[1] for key, dims in times.items())
        mend = f"`dataset.obs_keys` {' '.join(others)}" if whole else "leave it out of what a policy sees"
        yield Finding("times of day", "warning", sentence, mend, key, tuple(dims))


def _times(recording: Recording, rows: Array) -> list[int]:
    """Dimensions that are late, and never go back within an episode."""
    late = np.flatnonzero(rows.min(0) > LATE)
    return late[(recording.changes(rows[:, late].astype(np.float64)) >= 0).all(0)].tolist()


def glitches(recording: Recording) -> Iterator[Finding]:
    """Dimensions whose range a few values take."""
    for key, rows in recording.rows.items():
        for glitch in squeezed(key, rows, recording.ends):
            mend = drop([glitch.episode]) if key == "action" else "`dataset.normalization` quantile"
            yield Finding("glitches", "warning", glitch.sentence, mend, key, (glitch.dim,), (glitch.episode,))


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


def find_jumps(recording: Recording) -> list[Jumps]:
    """The jumps of every dimension that has any, the largest first."""
    jumps = [_jumps(recording, key, dim, x) for key in recording.rows for dim, x in recording.varying(key)]
    return sorted((one for one in jumps if one is not None), key=lambda jump: -jump.factor)


def _jumps(recording: Recording, key: str, dim: int, x: Array) -> Jumps | None:
    change = np.abs(recording.changes(x))
    moving = change[change > 0]
    if len(moving) == 0:
        return None
    usual, span = float(np.median(moving)), float(x.max() - x.min())
    count = int(((change > JUMP_FACTOR * usual) & (change > JUMP_RANGE * span)).sum())
    if count == 0:
        return None
    row = int(change.argmax())
    episode, step = recording.where(row + 1)
    return Jumps(key, dim, count, episode, step, float(x[row]), float(x[row + 1]), float(change[row]) / usual)

"""Numbers that go round: angles that wrap or run on, and quaternions whose sign flips."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from robolearn.doctor.finding import Finding, listed
from robolearn.doctor.recording import Recording
from robolearn.types import Array

TURN = 2 * math.pi
MAX_TURNS = 24.0  # what spans more is no angle but a position
OUTSIDE = 0.02  # share of the numbers, or of the episodes' ends, that lie beyond a turn
NORM, UNIT_SHARE = 1e-2, 0.999  # how exactly quaternions have length 1, and how many of them


def wrapped_angles(recording: Recording) -> Iterator[Finding]:
    """An angle in rad or degrees that jumps by a turn where it wraps."""
    for key in recording.observed:
        for dim, x in recording.varying(key):
            for turn, unit in ((TURN, "rad"), (360.0, "degrees")):
                count, episodes = _wraps(recording, x, turn)
                if not count:
                    continue
                mend = f"`dataset.angles` {key}:{dim}"
                if unit == "degrees":
                    mend = f"store it in rad, then {mend}"
                yield Finding(
                    "wrapped angles",
                    "warning",
                    f"data/{key}[{dim}] is an angle that wraps: it jumps by {turn:.4g}, {count} times, in episodes "
                    f"{listed(episodes)}",
                    mend,
                    key,
                    (dim,),
                    tuple(episodes),
                )


def _wraps(recording: Recording, x: Array, turn: float) -> tuple[int, list[int]]:
    """How often an angle jumps by a turn, and in which episodes."""
    in_a_turn = min(_share_outside(x, 0.0, turn), _share_outside(x, -turn / 2, turn / 2)) == 0
    if not in_a_turn or x.max() - x.min() < 0.75 * turn:
        return 0, []
    change = np.abs(recording.changes(x))
    wraps = change > 0.75 * turn
    between = (change > 0.25 * turn) & ~wraps  # a number that is drawn anew at each step makes jumps of all sizes
    if between.sum() > 0.2 * wraps.sum():
        return 0, []
    return int(wraps.sum()), [int(i) for i in np.unique(recording.episode_of[1:][wraps])]


def unwrapped_angles(recording: Recording) -> Iterator[Finding]:
    """An angle that runs on beyond a turn: the same position is many numbers, most of them rare.

    Told from a velocity, which begins and ends near 0; from a position, which spans more; from a count, which is whole;
    and from a clock, whose steps are all alike.
    """
    for key in recording.observed:
        if "rad" not in recording.attrs.units.get(key, "rad"):
            continue
        for dim, x in recording.varying(key):
            outside = _outside_both(x)
            if outside < OUTSIDE or not _runs_on(recording, x):
                continue
            yield Finding(
                "unwrapped angles",
                "warning",
                f"data/{key}[{dim}] looks like an angle that runs on beyond a turn: {x.min():.3g} to {x.max():.3g}, "
                f"{100 * outside:.2g} % of it outside one turn",
                f"`dataset.angles` {key}:{dim}",
                key,
                (dim,),
            )


def _runs_on(recording: Recording, x: Array) -> bool:
    span, change = float(x.max() - x.min()), recording.changes(x)
    if not 1.05 * TURN < span < MAX_TURNS * TURN or (x == np.trunc(x)).all():
        return False
    moving = np.abs(change[change != 0])
    if len(moving) == 0 or np.quantile(moving, 0.99) > TURN / 4 or moving.std() < 1e-3 * moving.mean():
        return False
    ends = x[recording.ends - 1]
    spreads = x[recording.starts].std() >= 0.25 * x.std()
    return bool(spreads or _outside_both(ends) >= 2 * OUTSIDE)


def _share_outside(x: Array, low: float, high: float) -> float:
    slack = 1e-3 * (high - low)
    return float(((x < low - slack) | (x > high + slack)).mean())


def _outside_both(x: Array) -> float:
    """Share of numbers outside of a turn, wherever that begins by custom."""
    return min(_share_outside(x, 0.0, TURN), _share_outside(x, -TURN / 2, TURN / 2))


def quaternion_flips(recording: Recording) -> Iterator[Finding]:
    """Four numbers of length 1 that change their sign: q and -q are the same rotation, and far apart for a network."""
    for key, rows in recording.observed.items():
        for first in quaternions(rows):
            q = rows[:, first : first + 4].astype(np.float64)
            flips = recording.inside & ((q[1:] * q[:-1]).sum(1) < -0.5)
            episodes = [int(i) for i in np.unique(recording.episode_of[1:][flips])]
            what = f"flips its sign {int(flips.sum())} times"
            if not episodes:
                episodes, what = _other_sign(q[recording.starts]), "begins with the other sign"
            if episodes:
                yield Finding(
                    "quaternion flips",
                    "warning",
                    f"data/{key}[{first}:{first + 4}] is a quaternion that {what}, in episodes {listed(episodes)}",
                    f"`dataset.quaternions` {key}:{first}",
                    key,
                    tuple(range(first, first + 4)),
                    tuple(episodes),
                )


def quaternions(rows: Array) -> Iterator[int]:
    """First dimension of each four neighboring ones that have length 1 together, and vary."""
    first = 0
    while first + 4 <= rows.shape[1]:
        q = rows[:, first : first + 4].astype(np.float64)
        is_unit = (np.abs((q * q).sum(1) - 1) < 2 * NORM).mean() >= UNIT_SHARE
        is_one = is_unit and (q.std(0) > 1e-3).sum() >= 2 and (np.abs(q) > 1e-3).any(0).sum() >= 3
        if is_one:
            yield first
        first += 4 if is_one else 1


def _other_sign(starts: Array) -> list[int]:
    """Episodes that begin with the sign that fewer begin with, where all begin near one rotation."""
    axis = np.linalg.eigh(starts.T @ starts)[1][:, -1]
    along = starts @ axis
    if (np.abs(along) > 0.7).mean() < 0.9:
        return []
    rare = along < 0 if (along > 0).sum() >= (along < 0).sum() else along > 0
    return [int(i) for i in np.flatnonzero(rare & (np.abs(along) > 0.7))]

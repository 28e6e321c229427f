"""Episodes beside the others: much longer or shorter, far away, and those that begin by waiting."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from robolearn.data.timing import find_idle
from robolearn.doctor.finding import Finding, drop, listed
from robolearn.doctor.recording import Recording
from robolearn.types import Array

MIN_EPISODES = 8  # of which one can be an outlier
LENGTH_FACTOR = 2.0  # by which an episode is longer than the longest of the others, or shorter than the shortest
RARE, BEYOND = 0.03, 0.75  # share of episodes that may be outliers; of the range of the others, by which they leave it
MIN_IDLE, IDLE_SHARE = 8, 0.02  # steps of an idle beginning; share of all steps that are


def outlying_lengths(recording: Recording) -> Iterator[Finding]:
    """Episodes of quite another length than the others."""
    lengths = recording.lengths
    if len(lengths) < MIN_EPISODES:
        return
    few = max(1, int(RARE * len(lengths)))
    shortest, longest = np.partition(lengths, few)[few], -np.partition(-lengths, few)[few]
    odd = [int(i) for i in np.flatnonzero((LENGTH_FACTOR * lengths < shortest) | (lengths > LENGTH_FACTOR * longest))]
    if odd:
        yield Finding(
            "outlying episodes",
            "warning",
            f"episodes {listed(odd)} have {listed([int(lengths[i]) for i in odd])} steps, the median is "
            f"{int(np.median(lengths))}",
            drop(odd),
            episodes=tuple(odd),
        )


def outlying_values(recording: Recording) -> Iterator[Finding]:
    """Episodes whose numbers leave the range of all others by most of it."""
    if len(recording.ends) < MIN_EPISODES:
        return
    far, where = np.zeros(len(recording.ends)), [("", 0)] * len(recording.ends)
    for key in recording.rows:
        for dim, x in recording.varying(key):
            beyond = _beyond(recording.per_episode(np.minimum, x), recording.per_episode(np.maximum, x))
            for i in np.flatnonzero(beyond > far):
                far[i], where[i] = beyond[i], (key, dim)
    odd = [int(i) for i in np.flatnonzero(far > BEYOND)]
    if not odd:
        return
    worst = int(far.argmax())
    key, dim = where[worst]
    dims = tuple(sorted({where[i][1] for i in odd if where[i][0] == key}))
    sentence = (
        f"episodes {listed(odd)} leave the range of the others, episode {worst} by {far[worst]:.2g} of it in "
        f"data/{key}[{dim}]"
    )
    yield Finding("outlying episodes", "warning", sentence, drop(odd), key, dims, tuple(odd))


def _beyond(low: Array, high: Array) -> Array:
    """By how much of the others' range each episode leaves it [e], the few widest not counted among the others."""
    few = max(1, int(RARE * len(low)))
    bottom, top = np.partition(low, few)[few], -np.partition(-high, few)[few]
    span = top - bottom
    if span <= 0:
        return np.zeros(len(low))
    return np.maximum(np.maximum(high - top, bottom - low), 0) / span


def idle_beginnings(recording: Recording) -> Iterator[Finding]:
    """Episodes in which nothing moves at first: a policy learns to wait, and may wait for ever."""
    if not recording.observed:
        return
    idle = find_idle(list(recording.rows.values()), recording.ends)
    waits = idle >= MIN_IDLE
    if idle[waits].sum() < IDLE_SHARE * recording.lengths.sum():
        return
    episodes = [int(i) for i in np.flatnonzero(waits)]
    yield Finding(
        "idle beginnings",
        "warning",
        f"{len(episodes)} of {len(idle)} episodes begin with {MIN_IDLE} steps or more in which nothing moves, the "
        f"longest with {int(idle.max())}: {listed(episodes)}",
        "`dataset.trim_idle`",
        episodes=tuple(episodes),
    )

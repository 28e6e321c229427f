"""Episodes that are there twice: exactly, cut off, or but for a little noise."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from robolearn.doctor.finding import Finding, drop, listed
from robolearn.doctor.recording import Recording
from robolearn.types import Array

MOMENTS = 16  # of an episode, at which it is compared
HEAD = 8  # steps by which cut-off copies are looked for
NEAR, APART = 0.02, 0.2  # of the range; of the usual distance to the nearest other episode
DARK, BRIGHTER = 0.002, 0.1  # of a camera's range, by which images differ in brightness at all; of that, mean apart
MAX_COMPARED, BLOCK = 4000, 256  # episodes


def duplicates(recording: Recording) -> Iterator[Finding]:
    """Copies leak from the episodes that are trained on into those that are held out."""
    if not recording.rows:
        return
    exact = find_exact(recording)
    copies = sorted({second for _, second in exact})
    if copies:
        pairs = ", ".join(f"{a} = {b}" for a, b in exact[:8]) + (" ..." if len(exact) > 8 else "")
        sentence = f"{len(copies)} episodes are copies of others: {pairs}"
        yield Finding("duplicates", "warning", sentence, drop(copies), episodes=tuple(copies))
    near = [pair for pair in {*find_cut(recording), *find_near(recording)} if pair not in exact]
    copies = sorted({second for _, second in near} - set(copies))
    if copies:
        sentence = f"{len(copies)} episodes are nearly copies, or parts, of others: {listed(copies)}"
        yield Finding("near duplicates", "warning", sentence, drop(copies), episodes=tuple(copies))


def find_exact(recording: Recording) -> list[tuple[int, int]]:
    """Pairs of episodes with the same numbers and images throughout, the first of its kind first."""
    return list(_same(recording, list(zip(recording.starts, recording.ends, strict=True))))


def find_cut(recording: Recording) -> list[tuple[int, int]]:
    """Pairs (longer, shorter) of which the shorter is the beginning or the end of the longer."""
    starts, ends, lengths = recording.starts, recording.ends, recording.lengths
    long = [i for i in range(len(ends)) if lengths[i] >= HEAD]
    pairs = []
    for at_end in (False, True):
        spans = [(ends[i] - HEAD, ends[i]) if at_end else (starts[i], starts[i] + HEAD) for i in long]
        for a, b in _same(recording, spans):
            first, second = sorted((long[a], long[b]), key=lambda i: (-lengths[i], i))
            both = [first, second]
            size = lengths[second]
            parts = [(ends[i] - size, ends[i]) if at_end else (starts[i], starts[i] + size) for i in both]
            if lengths[first] > size and list(_same(recording, parts)):
                pairs.append((first, second))
    return pairs


def _same(recording: Recording, spans: list) -> Iterator[tuple[int, int]]:
    """Pairs of spans of rows that hold the same, each later one with the first of its kind."""
    seen: dict[bytes, int] = {}
    for i, (start, stop) in enumerate(spans):
        digest = hashlib.sha256()
        for rows in recording.rows.values():
            digest.update(np.ascontiguousarray(rows[start:stop]).data)
        for camera in recording.cameras.values():
            digest.update(camera.prints[start:stop].tobytes())
        first = seen.setdefault(digest.digest(), i)
        if first != i:
            yield first, i


def find_near(recording: Recording) -> list[tuple[int, int]]:
    """Pairs of episodes that are far closer to each other than episodes usually are."""
    features = describe(recording)
    count = len(features)
    if not 3 <= count <= MAX_COMPARED or features.shape[1] == 0:
        return []
    squares = (features**2).sum(1)
    nearest, distance = np.zeros(count, int), np.zeros(count)
    for begin in range(0, count, BLOCK):
        block = features[begin : begin + BLOCK]
        apart = np.maximum(squares[begin : begin + BLOCK, None] + squares - 2 * block @ features.T, 0)
        apart[np.arange(len(block)), begin + np.arange(len(block))] = np.inf
        nearest[begin : begin + BLOCK] = apart.argmin(1)
        distance[begin : begin + BLOCK] = np.sqrt(apart.min(1) / features.shape[1])
    limit = min(NEAR, APART * float(np.median(distance)))
    close = np.flatnonzero(distance < limit)
    pairs = sorted({(min(i, int(nearest[i])), max(i, int(nearest[i]))) for i in close.tolist()})
    return [pair for pair in pairs if not _look_apart(recording, *pair)]


def _look_apart(recording: Recording, one: int, other: int) -> bool:
    """Whether a camera tells two episodes of like numbers apart, as where one was done again in another look."""
    at = _moments(recording)[[one, other]]
    for camera in recording.cameras.values():
        spread, whole = np.ptp(camera.mean), camera.high.max() - camera.low.min()
        if spread > DARK * whole and np.abs(np.diff(camera.mean[at], axis=0)).mean() > BRIGHTER * spread:
            return True
    return False


def _moments(recording: Recording) -> Array:
    """Rows of each episode at which it is compared [e, MOMENTS]."""
    share = np.linspace(0, 1, MOMENTS)
    return recording.starts[:, None] + np.rint(share * (recording.lengths[:, None] - 1)).astype(int)


def describe(recording: Recording) -> Array:
    """Each episode as numbers [e, MOMENTS x d]: what is observed and done at even moments, in units of the range."""
    parts, at = [], _moments(recording)
    for key in recording.rows:
        for _, x in recording.varying(key):
            low, high = np.quantile(x, [0.01, 0.99])
            parts.append(np.clip((x[at] - low) / max(high - low, 1e-9), -1, 2))
    return np.concatenate(parts, axis=1) if parts else np.zeros((len(recording.ends), 0))

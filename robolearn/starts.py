"""Which episodes count, and how many independent starts are behind them.

Episodes are independent draws only where each begins anew. An environment that ignores its seed, or whose copies share
one, shows few starts many times; the independent draws are then the starts, and intervals are over these. Where starts
are known to follow from seeds, which `calibrate` and `compare` make sure of, seeds are the draws, and every episode
counts however often its start occurs: a start that seeds give often will be met often.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from robolearn.stats.proportions import effective_number
from robolearn.types import Array, Trajectory

START_INFO = "start_fingerprint"  # under this key a reset may tell the starts of its environments
SPEAKS = "what is said speaks of these, as often as seeds give them"


def start_of(obs: Any) -> str:
    """Fingerprint of a first observation, equal for equal starts.

    Args:
        obs: An array, or dicts and tuples of arrays. Floats count in single precision, so that rounding in the last
            digits of double precision tells no starts apart.
    """
    digest = hashlib.sha256()
    _add(digest, obs)
    return digest.hexdigest()[:16]


def _add(digest: Any, value: Any) -> None:
    if isinstance(value, Mapping):
        for key in sorted(value, key=str):
            digest.update(f"{key}:".encode())
            _add(digest, value[key])
    elif isinstance(value, tuple | list):
        for item in value:
            _add(digest, item)
    else:
        array = np.asarray(value)
        if array.dtype.kind == "f":
            with np.errstate(over="ignore"):
                array = array.astype(np.float32) + np.float32(0)  # -0 is 0
        digest.update(f"{array.dtype.kind}{array.shape}".encode())
        digest.update(repr(value).encode() if array.dtype.kind == "O" else array.tobytes())


def judged(trajectories: Sequence[Trajectory]) -> list[Trajectory]:
    """The episodes that count: a broken one says nothing of the policy."""
    return [t for t in trajectories if not t.broken]


def groups_of(trajectories: Sequence[Trajectory]) -> Int[Array, " n"]:
    """Number of the start of each episode, 0, 1, ... in the order in which starts first occur."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(t.start or f"seed {t.seed}", len(numbers)) for t in trajectories], np.int64)


def num_starts(trajectories: Sequence[Trajectory]) -> int:
    """How many distinct starts the episodes have."""
    return len(np.unique(groups_of(trajectories)))


def effective_starts(trajectories: Sequence[Trajectory]) -> float:
    """How many independent draws the episodes are worth if those with one start tell the same.

    As many as there are episodes where all starts differ, as many as starts where each occurs equally often, less
    where few of them dominate; 0 without episodes.
    """
    return effective_number(np.bincount(groups_of(trajectories)))

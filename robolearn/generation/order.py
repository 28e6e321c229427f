"""In which order the attempts at a start take the demonstrations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from robolearn.contract import Scene
from robolearn.data.normalizer import least_range
from robolearn.generation.places import places
from robolearn.types import Array

Order = Callable[[int, Mapping[str, Array]], Array]
"""Number of a start and what is seen there -> numbers of the demonstrations [n]."""


def in_turn(seed: int, count: int) -> Order:
    """A random order for each start; in all of them together every demonstration comes first equally often."""
    return lambda start, obs: np.random.default_rng([seed, start]).permutation(count)


def nearest_first(scene: Scene, starts: Sequence[Mapping[str, Array]]) -> Order:
    """First the demonstration whose objects began nearest: it has to be bent least.

    Positions of an object count in units of their spread over the demonstrations, and so does how it is turned, as a
    point on a circle. What is in the same place in all demonstrations does not count.

    Args:
        scene: Of the environment.
        starts: The first observation of each demonstration.

    Source: the selection by the nearest object of MimicGen, Mandlekar et al. 2023, arXiv:2310.17596.
    """
    poses = [_poses(scene, obs) for obs in starts]
    rows = {name: np.stack([pose[name] for pose in poses]) for name in poses[0]}
    units = {name: _spread(there) for name, there in rows.items()}

    def order(start: int, obs: Mapping[str, Array]) -> Array:
        here, apart = _poses(scene, obs), np.zeros(len(starts))
        for name, unit in units.items():
            if unit:
                apart += np.square((rows[name] - here[name]) / unit).sum(1)
        return np.argsort(apart, kind="stable")

    return order


def _spread(places: Array) -> float:
    """Standard deviation of places [n, d]; 0 where they differ by rounding alone, as the normalizer sees it."""
    low, high = places.min(0), places.max(0)
    return float(np.sqrt(places.var(0).sum())) if (high - low >= least_range(low, high)).any() else 0.0


def _poses(scene: Scene, obs: Mapping[str, Array]) -> dict[str, Array]:
    """Where each object is, and how it is turned."""
    _, poses = places(scene, obs)
    coordinates: dict[str, Array] = {}
    for name, pose in poses.items():
        coordinates[name], coordinates[f"{name}, turned"] = pose[:-1], np.array([np.cos(pose[-1]), np.sin(pose[-1])])
    return coordinates

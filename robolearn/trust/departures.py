"""Where episodes leave what was demonstrated: how far each observation is from the nearest demonstrated one.

    distance                       /--------- failure: leaves here, and never comes back
      |- - - - - - - - - - - - - -/- - - - -  limit: 95 % of the demonstrations' own observations are nearer
      |    __        ___     ____/
      |___/  +------+   +---+________________ success
      +-------------------------------------- step

An episode leaves with the first step of its last stretch beyond the limit, if that lasts to its end. A failure that
leaves asks for demonstrations of what comes before; one that never does was among demonstrations, and more of the same
do not help it. Demonstrations are compared with the other ones alike, which says how often it means nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from robolearn.data.windows import Windows
from robolearn.errors import UserError
from robolearn.policies.ensemble import Ensemble
from robolearn.stats.proportions import wilson
from robolearn.stats.value import Estimate
from robolearn.types import Array, Trajectory

WITHIN = 0.95  # share of the demonstrations' own observations that the limit holds
NUM_NEIGHBORS = 3
MAX_REFERENCES = 8_000  # demonstrated observations that others are compared with
MAX_EPISODES, MAX_STEPS = 200, 100  # of demonstrations that the limit comes from; steps of an episode, evenly spread
GROUP = 1024  # observations compared at once


@dataclass(frozen=True)
class Course:
    """How far one episode is from the demonstrations.

    Attributes:
        episode: Its index.
        success: How it ended; None where nobody told.
        steps: Some steps of it, evenly spread and ascending [n].
        distance: To the nearest demonstrated observation, in normalized units [n].
        departure: Index into `steps` of where it leaves; None if it does not.
        neighbors: The demonstrations that are nearest there, or at its end; the nearest first.
        plane: The observations in the demonstrations' first two principal components [n, 2].
    """

    episode: int
    success: bool | None
    steps: Array
    distance: Array
    departure: int | None
    neighbors: tuple[int, ...]
    plane: Array


@dataclass(frozen=True)
class Departures:
    """Where episodes leave what was demonstrated.

    Attributes:
        limit: Distance that most of the demonstrations' own observations are within.
        courses: Of the episodes.
        demonstrators: Share of the demonstrations that leave the other ones.
        plane: Demonstrated observations, in their first two principal components [r, 2].
        explained: Share of their variance that each of these explains [2].
    """

    limit: float
    courses: list[Course]
    demonstrators: Estimate
    plane: Array
    explained: Array

    def left(self, success: bool | None) -> Estimate | None:
        """Share that left of the episodes with this end; None where there are none."""
        left = [course.departure is not None for course in self.courses if course.success == success]
        return wilson(sum(left), len(left)) if left else None


@torch.inference_mode()
def find_departures(windows: Windows, ensemble: Ensemble, trajectories: Sequence[Trajectory]) -> Departures:
    """Compare the observations of episodes with those of demonstrations, as the policy's encoder sees them.

    Args:
        windows: Of the demonstrations.
        ensemble: Its policies; observations of low dimensions alone, as no images are kept of trajectories.
        trajectories: The episodes.

    Raises:
        UserError: There is one demonstration only.
    """
    episode_of = windows.episode_of
    if len(np.unique(episode_of)) < 2:
        raise UserError("one demonstration alone tells of no distance between demonstrations")
    rows = _evenly(len(windows), MAX_REFERENCES)
    reference, numbers = _embed(windows, ensemble, rows), episode_of[rows]
    own = list(_own_distances(windows, ensemble, reference, numbers))
    limit = float(np.quantile(np.concatenate(own), WITHIN))
    left = [departure(distance, limit) is not None for distance in own]
    center, axes, explained = _principal_components(reference)
    courses = []
    for trajectory in trajectories:
        steps = _evenly(len(trajectory) + 1, MAX_STEPS)
        seen = ensemble.embed(dict(_observed(trajectory, steps, ensemble)))
        distance = _nearest(seen, reference)
        index = departure(distance, limit)
        neighbors = _neighbors(seen[-1 if index is None else index], reference, numbers)
        plane = ((seen - center) @ axes).cpu().numpy()
        success = trajectory.success if trajectory.tells_success else None
        courses.append(Course(trajectory.episode, success, steps, distance, index, neighbors, plane))
    plane = ((reference - center) @ axes).cpu().numpy()
    return Departures(limit, courses, wilson(sum(left), len(left)), plane, explained)


def departure(distance: Array, limit: float) -> int | None:
    """Where the last stretch of distances [n] beyond a limit begins, if it lasts to the end; None if it does not."""
    within = np.flatnonzero(distance <= limit)
    begin = int(within[-1]) + 1 if len(within) else 0
    return begin if begin < len(distance) else None


def _own_distances(windows: Windows, ensemble: Ensemble, reference: Tensor, numbers: Array) -> Iterator[Array]:
    """Distances of each of some demonstrations to the observations [r, d] of the others, whose `numbers` are [r]."""
    episode_of = windows.episode_of
    demonstrations = np.unique(episode_of)
    for number in demonstrations[_evenly(len(demonstrations), MAX_EPISODES)]:
        own = np.flatnonzero(episode_of == number)
        seen = _embed(windows, ensemble, own[_evenly(len(own), MAX_STEPS)])
        yield _nearest(seen, reference[torch.from_numpy(numbers != number)])


def _embed(windows: Windows, ensemble: Ensemble, rows: Array) -> Tensor:
    parts = torch.from_numpy(rows).split(GROUP)
    return torch.cat([ensemble.embed(windows.batch(part).obs) for part in parts])


def _principal_components(points: Tensor) -> tuple[Tensor, Tensor, Array]:
    """Mean [d] of points [r, d], their first two directions [d, 2], and the share of variance of each [2]."""
    center = points.mean(0)
    variance, directions = torch.linalg.eigh((points - center).T @ (points - center))  # ascending
    axes = nn.functional.pad(directions[:, -2:].flip(1), (0, max(0, 2 - len(variance))))
    share = nn.functional.pad(variance.flip(0), (0, 1))[:2].clamp(min=0) / variance.sum().clamp(min=1e-12)
    return center, axes, share.cpu().numpy()


def _observed(trajectory: Trajectory, steps: Array, ensemble: Ensemble) -> Iterator[tuple[str, Tensor]]:
    """Keys with the last observations [n, o, ...] at some steps; before the first one it is repeated."""
    rows = np.maximum(steps[:, None] + np.arange(1 - ensemble.cfg.obs_horizon, 1), 0)
    for key in ensemble.cfg.obs_shapes:
        yield key, torch.from_numpy(trajectory.obs[key][rows]).float().to(ensemble.device)


def _nearest(seen: Tensor, reference: Tensor) -> Array:
    """Distance of each observation [n, d] to the nearest reference [r, d]."""
    row = torch.cat([torch.cdist(part, reference).argmin(dim=1) for part in seen.split(GROUP)])
    # cdist multiplies matrices, which leaves errors of 1e-3; the distance that is told is an exact one.
    return (seen - reference[row]).norm(dim=1).cpu().numpy()


def _neighbors(seen: Tensor, reference: Tensor, numbers: Array) -> tuple[int, ...]:
    """The demonstrations that come nearest to one observation [d]."""
    order = (reference - seen).norm(dim=1).argsort().cpu().numpy()
    return tuple(dict.fromkeys(numbers[order].tolist()))[:NUM_NEIGHBORS]


def _evenly(count: int, most: int) -> Array:
    """At most so many of the numbers 0 .. count - 1, evenly spread, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))

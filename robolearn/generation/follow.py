"""Carry a demonstration over to where the objects are now, step by step.

On its way to an object the hand follows the recorded way, bent so that it begins where the hand is and ends where the
recorded way ends, seen from the object. At an object that it pushes it stays where it was, seen from where the object
is now and has still to go: what slips off is followed, and pushed back. With one that it carries it goes the recorded
way, moved in the beginning as the object was and in the end as its goal is. Segments of MimicGen (Mandlekar et al.
2023, arXiv:2310.17596) and DemoGen (Xue et al. 2025, arXiv:2502.16932) are moved once and executed blindly.

    way to the object          at the object, d of D left             afterwards
    x + (1 - s) bend           o' + R (x - o), as far along:           o' + R (x - o)
    s = 0 ... 1                d' / D' = d / D, R turns d to d'

x is where the demonstration sends the hand, o where its object is, and ' what is so now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from robolearn.contract import Scene
from robolearn.generation.places import places
from robolearn.generation.segments import Segment
from robolearn.types import Array

FROZEN = 0.25  # for this last share of an object's way its direction, which says less and less, is kept
HURRY = 1.2  # the hand's steps are at most so many times as long as the demonstrator's longest in the segment
SLOWEST = 0.3  # steps of a demonstration per step, however little the object moves: nothing waits forever


class Follower:
    """Follows one demonstration in one episode.

    Args:
        segments: Of the demonstration, at least one.
        scene: Of the environment.
    """

    def __init__(self, segments: Sequence[Segment], scene: Scene):
        assert segments
        self.scene, self._waiting = scene, list(segments)[::-1]
        self._leg: _Leg | None = None

    @property
    def dim(self) -> int:
        """Coordinates of a position."""
        first = self._leg.segment if self._leg else self._waiting[-1]
        return first.hand.shape[1]

    def act(self, obs: Mapping[str, Array]) -> Array:
        """The next action [a] for an observation; at the end of the demonstration its last one, again and again."""
        hand, poses = places(self.scene, obs)
        if self._waiting and (self._leg is None or self._leg.is_over):
            self._leg = _Leg(self._waiting.pop(), hand, poses, self.scene)
        assert self._leg is not None
        target, others = self._leg.step(poses)
        return np.concatenate([target if self.scene.gain is None else (target - hand) / self.scene.gain, others])


class _Leg:
    """One segment in the present episode.

    Args:
        segment: Of the demonstration.
        hand: Where the hand is [d].
        poses: Of the objects, now [d + 1].
        scene: Of the environment.
    """

    def __init__(self, segment: Segment, hand: Array, poses: Mapping[str, Array], scene: Scene):
        self.segment, self.dim, self.scene = segment, len(hand), scene
        self.at = -1.0  # step of the demonstration; not a whole one
        pose = poses[segment.name]
        self._start, self._goal = pose[: self.dim], segment.path[-1, : self.dim]
        if segment.landmark is not None:
            self._goal = self._goal + poses[segment.landmark][: self.dim] - segment.landmark_at
        self._targets = np.concatenate([segment.hand[:1], segment.targets])  # a slow hand is several steps at the first
        self._turn = 0.0
        self._bend = hand - self._carry(segment.hand[0], pose, 0.0)
        # The longest step of what is about to be followed, in that of the demonstrator.
        steps = range(segment.contact + 1)
        way = [self._carry(segment.hand[t], pose, float(t)) + self._bent(float(t)) for t in steps]
        ours, theirs = (np.linalg.norm(np.diff(way, axis=0), axis=1).max(initial=1e-9) for way in (way, segment.hand))
        self._pace = min(1.0, HURRY * float(theirs / ours))

    @property
    def is_over(self) -> bool:
        """Whether all steps were taken."""
        return self.at >= len(self.segment) - 1

    def step(self, poses: Mapping[str, Array]) -> tuple[Array, Array]:
        """Go on; return where to send the hand [d], and the other numbers of the action."""
        pose = poses[self.segment.name]
        self.at = min(self._next(pose), len(self.segment) - 1.0)
        target = self._carry(_between(self._targets, self.at + 1.0), pose, self.at)
        return target + self._bent(self.at + 1.0), self.segment.others[int(self.at)]

    def _next(self, pose: Array) -> float:
        """The step of the demonstration that comes next."""
        segment, at = self.segment, self.at
        if at < segment.contact:
            return min(at + self._pace, segment.contact - 1.0) if at < segment.contact - 1 else float(segment.contact)
        if segment.last is None or at >= segment.last or self.scene.turns or self.scene.carries:
            return at + 1.0
        path, first = segment.path[:, : self.dim], int(at)
        theirs = _left(path[first : segment.last + 2], path[segment.contact], path[-1])
        ours = _left(pose[: self.dim], self._start, self._goal)
        return max(at + SLOWEST, first + float(np.argmin(np.abs(theirs - ours))))

    def _carry(self, point: Array, pose: Array, at: float) -> Array:
        """A point [d] of the demonstration at a step, as it is seen from the object, which is at a pose."""
        segment, dim, path = self.segment, self.dim, _between(self.segment.path, max(at, 0.0))
        late = self._moved_by(at)
        there = point + self._goal - segment.path[-1, :dim]
        if self.scene.carries:
            carried = (1 - late) * (point + self._start - segment.path[0, :dim]) + late * there
        else:
            carried = pose[:dim] + _turned(point - path[:dim], self._turning(pose, path))
            if self.scene.turns:  # how the object lies in the end is the same in all episodes
                carried = (1 - late) * carried + late * there
        return carried

    def _bent(self, at: float) -> Array:
        """How far the way to the object is bent."""
        return max(1.0 - at / max(self.segment.contact, 1), 0.0) * self._bend

    def _moved_by(self, at: float) -> float:
        """Share of the steps of the object's way that is past."""
        contact, last = self.segment.contact, self.segment.last
        return 0.0 if last is None else min(max((at - contact) / max(last - contact, 1), 0.0), 1.0)

    def _turning(self, pose: Array, path: Array) -> float:
        """By which angle things are turned about the object."""
        if self.scene.turns:
            return float(pose[self.dim] - path[self.dim])
        if self.segment.last is None:
            return 0.0
        whole = self.segment.path[-1, :2] - self.segment.path[0, :2], self._goal[:2] - self._start[:2]
        theirs, ours = left = self.segment.path[-1, :2] - path[:2], self._goal[:2] - pose[:2]
        if all(np.linalg.norm(rest) > FROZEN * np.linalg.norm(way) for rest, way in zip(left, whole, strict=True)):
            self._turn = float(np.arctan2(ours[1], ours[0]) - np.arctan2(theirs[1], theirs[0]))
        return self._turn


def _between(rows: Array, at: float) -> Array:
    """Rows [t, n] at a step between two."""
    low, share = int(at), at - int(at)
    return (1 - share) * rows[low] + share * rows[min(low + 1, len(rows) - 1)]


def _left(position: Array, start: Array, goal: Array) -> Array:
    """Share of the straight way from start to goal [d] that is left at positions [..., d]; negative beyond the goal."""
    way = goal - start
    return np.asarray((goal - position) @ way / max(float(way @ way), 1e-12))


def _turned(vector: Array, angle: float) -> Array:
    """A vector with its first two coordinates turned by an angle [rad]."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.concatenate([[cos * vector[0] - sin * vector[1], sin * vector[0] + cos * vector[1]], vector[2:]])

"""A demonstration cut into segments, in each of which the hand deals with one object.

step      0 .............. contact ............. last ........... end of the segment
hand      on its way        at the object, which moves or is near  lets go
object    at rest           on its way                             at rest, in its place
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from robolearn.contract import Scene
from robolearn.errors import UserError
from robolearn.generation.places import places
from robolearn.types import Array, Episode

STILL = 0.05  # an object rests in a step in which it moves by less than this share of its longest step
STAYS = 0.02  # an object stays that moves by less than this share of the hand's way in the whole episode


@dataclass(frozen=True)
class Segment:
    """t steps in which one object is dealt with.

    Attributes:
        name: Of the object.
        hand: Positions [t, d].
        targets: Where the actions send the hand [t, d].
        others: The other numbers of the actions [t, a - d].
        path: Poses of the object [t, d + 1].
        contact: First step at the object.
        last: Last step in which it moves; None for one that stays.
        landmark: Of the objects that stay in the whole episode the one that this one ends nearest to; where it ends is
            a place beside that one. None where all move: it is a place in the world.
        landmark_at: Position of the landmark [d].
    """

    name: str
    hand: Array
    targets: Array
    others: Array
    path: Array
    contact: int
    last: int | None
    landmark: str | None
    landmark_at: Array

    def __len__(self) -> int:
        return len(self.targets)


def cut(episode: Episode, scene: Scene) -> list[Segment]:
    """Segments of a demonstration, one after the other, whose steps are all of its steps.

    A segment ends with the last step in which its object moves before another one does; the last segment ends with the
    episode. Where nothing moves, the whole episode deals with the object that the hand ends nearest to.

    Raises:
        UserError: The scene is not one of this demonstration.
    """
    hand, paths = places(scene, episode.obs)
    dim, actions = hand.shape[-1], episode.actions.astype(float)
    if actions.shape[1] < dim:
        raise UserError(f"scene: the hand's position has {dim} coordinates, an action only {actions.shape[1]} numbers")
    targets = actions[:, :dim] if scene.gain is None else hand + scene.gain * actions[:, :dim]
    moves = {name: _moves(path[:, :dim], hand) for name, path in paths.items()}
    stay = {name: paths[name] for name, moving in moves.items() if not moving.any()}
    segments = []
    for name, start, stop in _spans(moves) or [(_nearest(paths, hand[-1]), 0, None)]:
        part = slice(start, stop)
        path = paths[name][part].copy()
        path[:, dim] = np.unwrap(path[:, dim])
        contact, last = _dealing(hand[part], path[:, :dim], moves[name][part], scene.near)
        landmark = _nearest(stay, path[-1, :dim]) if stay and last is not None else None
        at = np.zeros(dim) if landmark is None else stay[landmark][0, :dim]
        whole = (hand[part], targets[part], actions[part, dim:], path)
        segments.append(Segment(name, *whole, contact, last, landmark, at))
    return segments


def _dealing(hand: Array, position: Array, moving: Array, near: float) -> tuple[int, int | None]:
    """First step of a segment at the object, and the last in which that moves."""
    steps = np.flatnonzero(moving)
    if len(steps):
        return int(steps[0]), int(steps[-1])
    distance = np.linalg.norm(hand - position, axis=1)
    return int(np.argmax(distance <= max(near, float(distance.min())))), None


def _moves(position: Array, hand: Array) -> Array:
    """In which steps [t] an object at `position` [t, d] moves."""
    step = np.linalg.norm(np.diff(position, axis=0, append=position[-1:]), axis=1)
    way = np.linalg.norm(np.diff(hand, axis=0), axis=1).sum()
    return step > STILL * step.max() if step.sum() > STAYS * way else np.zeros(len(step), bool)


def _spans(moves: Mapping[str, Array]) -> list[tuple[str, int, int | None]]:
    """Object, first step and end of each segment; None for the end of the episode."""
    order = sorted((int(step), name) for name, moving in moves.items() for step in np.flatnonzero(moving))
    names = [name for (_, before), (_, name) in pairwise([(0, ""), *order]) if name != before]
    ends = [step + 1 for (step, name), (_, after) in pairwise(order) if name != after]
    return list(zip(names, [0, *ends], [*ends, None], strict=True)) if names else []


def _nearest(paths: Mapping[str, Array], position: Array) -> str:
    """The object that ends nearest to a place [d]."""
    return min(paths, key=lambda name: float(np.linalg.norm(paths[name][-1, : len(position)] - position)))

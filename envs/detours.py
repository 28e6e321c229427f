"""A way through a field: straight ahead, and around whatever disc is in the way, on a side that is drawn.

    goal o
         |
     ( * )    * a cylinder, in the disc that the rod's axis keeps out of
         |
         o start

Discs do not meet, so that the arc around one enters no other, and the straight pieces enter none: the way is clear
whatever the sides are. Then it is tightened like a band that the discs hold apart.
"""

from __future__ import annotations

import numpy as np

from envs.paths import resample
from robolearn.contract import Array

COARSE = 128  # points of the band
WIDTH, ROUNDS = 9, 8  # over how many points it is smoothed, and how often
ARC = 16  # points of an arc
TINY = 1e-9  # [m]
UNDECIDED = 0.03  # so much longer may a side be and still be taken by every fourth [m]


def detour(start: Array, goal: Array, discs: Array, walls: Array, coins: Array, num: int) -> Array:
    """Evenly spaced points [num, 2] of a smooth way from `start` [2] to `goal` [2] that enters no disc.

    A side by which the way is longer is taken more seldom, and one that leaves the walls only if both do.

    Args:
        start: Where it begins [m]; inside a disc it leaves by the boundary next to it.
        goal: Where it ends [m].
        discs: x, y, radius [k, 3]; no two meet.
        walls: Least and greatest x, y [2, 2].
        coins: Uniform numbers in [0, 1) [k], which decide about the sides.
        num: How many points.
    """
    corners = [start[None]]
    for index, ends in _met(start, goal, discs):
        corners.append(_around(discs[index], ends, walls, coins[index]))
    return _tightened(np.concatenate([*corners, goal[None]]), discs, walls, num)


def _met(start: Array, goal: Array, discs: Array) -> list[tuple[int, Array]]:
    """The discs that the straight line meets, in its order, and where it enters and leaves them [2, 2]."""
    way = goal - start
    length = np.hypot(*way)
    ahead = way / length
    along = (discs[:, :2] - start) @ ahead
    half = np.square(discs[:, 2]) - np.square((discs[:, :2] - start) @ np.array([-ahead[1], ahead[0]]))
    half = np.sqrt(np.maximum(half, 0.0))
    met = [i for i in np.argsort(along) if half[i] > 0.0 and along[i] + half[i] > 0.0 and along[i] - half[i] < length]
    return [(i, start + np.outer(np.clip(along[i] + half[i] * np.array([-1, 1]), 0.0, length), ahead)) for i in met]


def _around(disc: Array, ends: Array, walls: Array, coin: float) -> Array:
    """The arc [ARC, 2] along a disc's boundary, from beside where the line enters to beside where it leaves it."""
    first, last = np.arctan2(*(ends - disc[:2]).T[::-1])
    turns = np.array([(last - first) % (2 * np.pi), (last - first) % (2 * np.pi) - 2 * np.pi])
    angles = first + np.linspace(0.0, turns, ARC, axis=1)
    arcs = disc[:2] + disc[2] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    is_open = ((arcs >= walls[0]) & (arcs <= walls[1])).all(axis=(1, 2))
    if is_open[0] != is_open[1]:
        return arcs[is_open.argmax()]
    longer = disc[2] * (abs(turns[0]) - abs(turns[1]))
    return arcs[int(coin < 1 / (1 + np.exp(-np.log(3) * longer / UNDECIDED)))]


def _tightened(corners: Array, discs: Array, walls: Array, num: int) -> Array:
    """The way through `corners` [k, 2], shortened on the sides of the discs that it takes, as points [num, 2]."""
    points = resample(corners, COARSE)
    for _ in range(ROUNDS):
        points = np.clip(BAND @ points, walls[0], walls[1])
        x, y = points[:, :1] - discs[:, 0], points[:, 1:] - discs[:, 1]
        distance = np.sqrt(np.square(x) + np.square(y))
        point, disc = np.nonzero(distance < discs[:, 2])
        out = (discs[:, 2] / np.maximum(distance, TINY))[point, disc]
        points[point, 0] = discs[disc, 0] + out * x[point, disc]
        points[point, 1] = discs[disc, 1] + out * y[point, disc]
    return resample(points, num)


def _band() -> Array:
    """The moving average [COARSE, COARSE] over WIDTH points, fewer near the ends, which stay where they are."""
    index = np.arange(COARSE)
    reach = np.minimum(WIDTH // 2, np.minimum(index, index[::-1]))
    return (abs(index - index[:, None]) <= reach[:, None]) / (2 * reach[:, None] + 1)


BAND = _band()

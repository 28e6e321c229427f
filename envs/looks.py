"""How a scene looks: colors, textures, light, the camera's place and its noise. Nothing here moves anything.

`LOOKS` has the names that an environment takes. A look is a function of the scene's plain colors and of random
numbers that come from the episode's seed alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from envs.patterns import PATTERNS
from robolearn.contract import Array

DEGREE = np.pi / 180
CANDIDATES = 256  # colors among which the one is taken that is least like those before it
GROUND = 0.6  # a color is so much further from the ground's than from any other
# Red, green, blue and brightness, in which colors are compared: eyes and networks tell dark from light most easily.
COMPARED = np.array([[1.0, 0.0, 0.0, 0.45], [0.0, 1.0, 0.0, 0.88], [0.0, 0.0, 1.0, 0.17]])


@dataclass(frozen=True)
class Look:
    """One appearance of a scene with s surfaces: the groups of geoms that the MJCF gives the same color, ground first.

    Lengths are in heights of what the camera `top` sees, whichever size a task has; directions are those of its
    image: right, up, towards the viewer.

    Attributes:
        colors: Color of each surface [s, 3], in [0, 1].
        patterns: Index of its texture in `PATTERNS` [s], -1 for none.
        tiles: How many tiles of the texture there are in a height [s].
        lamp: Place of the lamp [3].
        light: The lamp's intensity per color channel [3].
        ambient: Intensity of the light from everywhere [3].
        turn: Angles by which a camera is turned about what it looks at, around its axes right, up and back [3], [rad].
        slide: How far a camera is displaced to the right and up [2], in heights of what it sees itself.
        zoom: Factor on the angle that a camera sees.
        noise: Standard deviation of its noise, of 255 levels.
    """

    colors: Array
    patterns: Array
    tiles: Array
    lamp: Array
    light: Array
    ambient: Array
    turn: Array
    slide: Array
    zoom: float
    noise: float


# What "real" makes of the plain colors: the nearest of these becomes (color, pattern).
REAL_SURFACES: dict[tuple[float, float, float], tuple[tuple[float, float, float], str | None]] = {
    (0.95, 0.95, 0.93): ((0.66, 0.49, 0.34), "boards"),  # floor
    (0.88, 0.36, 0.30): ((0.22, 0.40, 0.42), "granite"),  # obstacles, a block, where a slot is seen
    (0.16, 0.35, 0.75): ((0.93, 0.83, 0.25), None),  # what is moved
    (0.30, 0.34, 0.41): ((0.88, 0.87, 0.83), "clouds"),  # walls and rims
    (0.20, 0.65, 0.38): ((0.80, 0.20, 0.45), None),  # finish
    (0.70, 0.87, 0.73): ((0.86, 0.62, 0.66), "weave"),  # goals
    (0.80, 0.86, 0.94): ((0.50, 0.38, 0.30), "weave"),  # start
    (0.20, 0.22, 0.27): ((0.95, 0.93, 0.90), None),  # a pusher
    (0.45, 0.50, 0.57): ((0.30, 0.33, 0.28), "granite"),  # blocks
}


def real_look(plain: Array, rng: np.random.Generator) -> Look:
    """The one other appearance that stands for the real world: stone on a table of boards, under a warm lamp."""
    known = np.array(list(REAL_SURFACES))
    nearest = [list(REAL_SURFACES.values())[np.square(known - color).sum(axis=1).argmin()] for color in plain]
    return Look(
        colors=np.array([color for color, _ in nearest]),
        patterns=np.array([-1 if name is None else list(PATTERNS).index(name) for _, name in nearest]),
        tiles=np.full(len(plain), 3.0),
        lamp=np.array([-0.9, 0.7, 1.1]),
        light=np.array([0.62, 0.57, 0.46]),
        ambient=np.array([0.42, 0.44, 0.50]),
        turn=DEGREE * np.array([4.0, -3.0, 2.0]),
        slide=np.array([0.015, -0.01]),
        zoom=1.06,
        noise=4.0,
    )


def random_look(plain: Array, rng: np.random.Generator) -> Look:
    """Any appearance: every episode another one."""
    num = len(plain)
    angle, rise = rng.uniform(0, 2 * np.pi), rng.uniform(35 * DEGREE, 80 * DEGREE)
    towards = np.array([np.cos(angle) * np.cos(rise), np.sin(angle) * np.cos(rise), np.sin(rise)])
    ambient, total = rng.uniform(0.3, 0.6), rng.uniform(0.9, 1.15)
    tint = rng.uniform(0.9, 1.1, 3)
    return Look(
        colors=unlike_colors(num, rng),
        patterns=rng.integers(-1, len(PATTERNS), num),
        tiles=rng.uniform(1.0, 5.0, num),
        lamp=rng.uniform(1.0, 2.5) * towards,
        light=(total - ambient) * tint,
        ambient=ambient * tint,
        turn=DEGREE * rng.uniform(-5.0, 5.0, 3),
        slide=rng.uniform(-0.02, 0.02, 2),
        zoom=rng.uniform(1.0, 1.1),
        noise=rng.uniform(0.0, 6.0),
    )


def unlike_colors(num: int, rng: np.random.Generator) -> Array:
    """Colors [num, 3], each of `CANDIDATES` the one that is least like those before it, the ground's above all."""
    colors = rng.uniform(0.05, 0.95, (1, 3))
    while len(colors) < num:
        candidates = rng.uniform(0.05, 0.95, (CANDIDATES, 3))
        distance = np.linalg.norm((candidates[:, None] - colors) @ COMPARED, axis=-1)
        distance[:, 0] *= GROUND
        colors = np.append(colors, candidates[[distance.min(axis=1).argmax()]], axis=0)
    return colors


def noisy(image: Array, noise: float, rng: np.random.Generator) -> Array:
    """An image [h, w, 3], uint8, with noise of this standard deviation in every pixel and channel.

    How many of 16 coins show heads has a standard deviation of 2, looks as normal as it has to, and is drawn four
    times as fast.
    """
    levels = np.rint(noise * (np.arange(17) - 8) / 2).astype(np.int16)
    heads = np.bitwise_count(rng.integers(2**16, size=image.shape, dtype=np.uint16))
    return (image + levels[heads]).clip(0, 255).astype(np.uint8)


LOOKS: dict[str, Callable[[Array, np.random.Generator], Look]] = {"real": real_look, "random": random_look}

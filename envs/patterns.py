"""Computed textures: how bright a surface is from place to place, so that any color can go with any pattern."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from robolearn.contract import Array

SIZE = 128  # [px] of a tile, which goes on seamlessly on every side
DARKEST = 0.7

_ROWS, _COLUMNS = np.mgrid[:SIZE, :SIZE] / SIZE


def _smooth(rng: np.random.Generator, across: float, along: float) -> Array:
    """Noise [SIZE, SIZE] in [0, 1] whose blots measure so many pixels across and along the rows."""
    down, right = np.fft.fftfreq(SIZE)[:, None], np.fft.fftfreq(SIZE)
    kept = np.exp(-2 * np.pi**2 * ((across * down) ** 2 + (along * right) ** 2))
    noise = np.fft.ifft2(np.fft.fft2(rng.standard_normal((SIZE, SIZE))) * kept).real
    return (noise - noise.min()) / np.ptp(noise)


def _boards(rng: np.random.Generator) -> Array:
    """Four boards side by side, each of its own brightness, with grain and dark joints."""
    tone = rng.uniform(0.5, 0.9, 4)[(_ROWS * 4).astype(int)]
    joint = np.where(_ROWS * 4 % 1 < 0.06, 0.4, 1.0)
    return joint * (tone + 0.4 * (_smooth(rng, 0.8, 12.0) - 0.5))


# Name -> brightness [SIZE, SIZE], 0 for the darkest and 1 for the color itself.
PATTERNS: dict[str, Callable[[np.random.Generator], Array]] = {
    "checker": lambda rng: (((2 * _ROWS).astype(int) + (2 * _COLUMNS).astype(int)) % 2).astype(float),
    "stripes": lambda rng: 0.5 + 0.5 * np.sin(2 * np.pi * 2 * _ROWS),
    "weave": lambda rng: np.abs(np.sin(4 * np.pi * _ROWS) * np.sin(4 * np.pi * _COLUMNS)),
    "clouds": lambda rng: _smooth(rng, 9.0, 9.0),
    "granite": lambda rng: _smooth(rng, 0.7, 0.7),
    "boards": _boards,
}


def pattern(name: str) -> Array:
    """The tile of a pattern, gray levels [SIZE, SIZE, 3], uint8; always the same."""
    brightness = PATTERNS[name](np.random.default_rng(0)).clip(0.0, 1.0)
    levels = np.rint(255 * (DARKEST + (1 - DARKEST) * brightness)).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=-1)

"""Images as a bad day gives them: noise, something before the lens, too little or too much light.

Each image is degraded by a strength of its own, uniform in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Shaped, UInt8

from robolearn.errors import UserError

NOISE = 64.0  # standard deviation at strength 1, of 255
COVER = 0.6  # side of the square before the lens at strength 1, of the image's shorter side
COVER_GRAY = 64
STOPS = 1.5  # at strength 1 the light is 2^-1.5 or 2^1.5 of what it was

Images = UInt8[np.ndarray, "b h w c"]
Strength = Float[np.ndarray, " b"]


def noisy(images: Images, strength: Strength, rng: np.random.Generator) -> Images:
    """Add Gaussian noise, independent in every pixel and channel."""
    noise = rng.standard_normal(images.shape, np.float32) * (NOISE * strength)[:, None, None, None]
    return as_levels(images + noise)


def occluded(images: Images, strength: Strength, rng: np.random.Generator) -> Images:
    """Cover a dark square at a place that is uniform over the image."""
    num, height, width = images.shape[:3]
    side = COVER * min(height, width) * strength
    rows, columns = np.arange(height) + 0.5, np.arange(width) + 0.5
    top, left = (rng.uniform(0, size - side, num) for size in (height, width))
    in_rows, in_columns = (
        (centers >= low[:, None]) & (centers < (low + side)[:, None]) for centers, low in ((rows, top), (columns, left))
    )
    covered = (in_rows[:, :, None] & in_columns[:, None])[..., None]
    return np.where(covered, np.uint8(COVER_GRAY), images)


def relit(images: Images, strength: Strength, rng: np.random.Generator) -> Images:
    """Multiply all levels by 2^-s or 2^s, s = 1.5 strength, either as likely; what exceeds the range is clipped."""
    stops = STOPS * strength * rng.choice([-1.0, 1.0], len(images))
    return as_levels(images * np.float32(2.0 ** stops[:, None, None, None]))


DEGRADATIONS: dict[str, Callable[[Images, Strength, np.random.Generator], Images]] = {
    "noise": noisy,
    "occlusion": occluded,
    "brightness": relit,
}


def degrade(kind: str, images: Shaped[np.ndarray, "b h w c"], rng: np.random.Generator) -> Images:
    """Degrade images, each with a strength that is uniform in [0, 1].

    Args:
        kind: A key of DEGRADATIONS.
        images: uint8, unchanged.
        rng: Draws strengths, and what is random beside them.

    Raises:
        UserError: The kind is unknown, or images are no bytes.
    """
    if images.dtype != np.uint8:
        raise UserError(f"degradation {kind}: images are {images.dtype}; give uint8, 0 .. 255")
    if kind not in DEGRADATIONS:
        raise UserError(f"degradation {kind!r} is unknown; choose from {', '.join(DEGRADATIONS)}")
    return DEGRADATIONS[kind](images, rng.uniform(size=len(images)), rng)


def as_levels(images: Float[np.ndarray, "b h w c"]) -> Images:
    """Round to whole levels 0 .. 255."""
    return np.rint(images).clip(0, 255).astype(np.uint8)

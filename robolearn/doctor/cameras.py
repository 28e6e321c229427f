"""Images: how they are recorded, and those on which nothing is to be seen."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from robolearn.doctor.camera import Camera
from robolearn.doctor.finding import Finding, drop, listed
from robolearn.doctor.recording import Recording

DARK, DIM = 0.03, 0.1  # of the range: what an image spans on which nothing is to be seen; what all images use together
BLACK_SHARE, FROZEN_SHARE = 1e-9, 0.5  # of the images; of an episode's
MIN_FROZEN = 8  # steps


def layouts(recording: Recording) -> Iterator[Finding]:
    """Images that are converted as they are read; a note."""
    for key, camera in recording.cameras.items():
        layout = camera.layout
        if layout is None or (layout.is_plain and camera.dtype == np.uint8):
            continue
        what = "depth" if layout.is_depth else "images"
        step = f", {(layout.high - layout.low) / 255:.2g} a level" if layout.is_depth else ""
        sentence = f"data/{key}: {what} of type {camera.dtype}, {layout}{step}; networks see uint8 {list(camera.seen)}"
        yield Finding("image format", "note", sentence, "", key)


def ranges(recording: Recording) -> Iterator[Finding]:
    """Images that use next to nothing of their range, as floats in [0, 1] that were cast to bytes."""
    for key, camera in recording.cameras.items():
        layout = camera.layout
        if layout is None or layout.is_depth or not np.isfinite(camera.high).any():
            continue
        low, high = float(np.nanmin(camera.low)), float(np.nanmax(camera.high))
        if high == low or high - low >= DIM * (layout.high - layout.low):
            continue
        sentence = f"data/{key}: images use {low:g} to {high:g} of {layout.low:g} .. {layout.high:g}"
        mend = "record them again, or multiply them by what is missing before they are stored"
        if camera.dtype == np.uint8 and high <= 1:
            sentence += ", as floats in [0, 1] that were cast to bytes"
            mend = "multiply by 255 before the cast"
        yield Finding("image range", "warning", sentence, mend, key)


def black_images(recording: Recording) -> Iterator[Finding]:
    """Images of one color, as a camera gives that failed."""
    for key, camera in recording.cameras.items():
        if camera.layout is None:
            continue
        flat = _is_flat(camera)
        whole = float(np.nanmax(camera.high) - np.nanmin(camera.low)) if np.isfinite(camera.high).any() else 0.0
        if not flat.any():
            continue
        episodes = [int(i) for i in np.unique(recording.episode_of[flat])]
        sentence = f"data/{key}: {int(flat.sum())} images show one color only, in episodes {listed(episodes)}"
        mend = drop(episodes) if whole and len(episodes) < len(recording.ends) else "record them again"
        yield Finding("black images", "warning", sentence, mend, key, (), tuple(episodes))


def _is_flat(camera: Camera) -> np.ndarray:
    layout = camera.layout
    assert layout is not None, "checked by the caller"
    looked = np.isfinite(camera.high)
    spans = np.where(looked, camera.high - camera.low, np.inf)
    usual = min(layout.high - layout.low, float(np.median(spans[looked]))) if looked.any() else 0.0
    return spans <= DARK * usual


def frozen_images(recording: Recording) -> Iterator[Finding]:
    """Images that stay the same while the robot moves."""
    if not recording.observed:
        return
    moves = np.zeros(len(recording.episode_of), bool)
    for key in recording.observed:
        for _, x in recording.varying(key):
            change = np.abs(recording.changes(x))
            moves[1:] |= change > 0.1 * np.quantile(change, 0.9)
    for key, camera in recording.cameras.items():
        frozen = np.zeros(len(moves), bool)
        frozen[1:] = camera.same[1:] & moves[1:] & recording.inside
        share = recording.per_episode(np.add, frozen.astype(int)) / np.maximum(
            recording.per_episode(np.add, moves.astype(int)), MIN_FROZEN
        )
        odd = [int(i) for i in np.flatnonzero(share > FROZEN_SHARE)]
        if odd:
            sentence = f"data/{key}: the image stands still while the robot moves, in episodes {listed(odd)}"
            yield Finding("frozen images", "warning", sentence, drop(odd), key, (), tuple(odd))

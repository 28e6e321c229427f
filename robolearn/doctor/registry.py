"""Which checks there are, in the order in which their findings are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from robolearn.doctor import actions, angles, cameras, dimensions, duplicates, episodes
from robolearn.doctor.finding import Finding
from robolearn.doctor.recording import Recording

Check = Callable[[Recording], Iterator[Finding]]

CHECKS: tuple[Check, ...] = (
    angles.wrapped_angles,
    angles.unwrapped_angles,
    angles.quaternion_flips,
    dimensions.glitches,
    dimensions.near_constant,
    dimensions.times_of_day,
    actions.constant,
    actions.follows,
    actions.switched,
    episodes.outlying_lengths,
    episodes.outlying_values,
    episodes.idle_beginnings,
    duplicates.duplicates,
    cameras.ranges,
    cameras.black_images,
    cameras.frozen_images,
    cameras.layouts,
)


def check(recording: Recording) -> list[Finding]:
    """Everything that the checks find."""
    if not len(recording.ends):
        return []
    return [finding for one in CHECKS for finding in one(recording)]

"""Which episodes to use, and splits by episode: the windows of one demonstration never lie on both sides."""

from __future__ import annotations

from typing import Literal

import numpy as np

from robolearn.errors import UserError

ShortEpisodes = Literal["refuse", "drop", "pad"]
Padding = Literal["masked", "held"]
_BOOTSTRAP_STREAM = 1


def usable_episodes(
    lengths: np.ndarray, window: int, short: ShortEpisodes, numbers: np.ndarray | None = None
) -> np.ndarray:
    """Indices of the episodes to train on.

    Args:
        lengths: Steps of each episode [e].
        numbers: What they are called [e], for messages; by default their indices.
        window: Steps of a window, past observations and action chunk together.
        short: What to do about episodes shorter than that: refuse the data, drop them, or pad every one of
            their windows.

    Raises:
        UserError: An episode is too short and `short` is "refuse"; or "drop" leaves none.
    """
    too_short = lengths < window
    if not too_short.any() or short == "pad":
        return np.arange(len(lengths))
    if short == "drop" and not too_short.all():
        return np.flatnonzero(~too_short)
    first = int(np.argmax(too_short))
    name = first if numbers is None else numbers[first]
    raise UserError(
        f"episode {name} has {lengths[first]} steps, a window {window} "
        f"({too_short.sum()} of {len(lengths)} episodes are shorter than a window); "
        "choose smaller horizons or another `dataset.short_episodes` (refuse, drop, pad)"
    )


def bootstrap_episodes(episodes: np.ndarray, seed: int) -> np.ndarray:
    """Draw as many episodes again, with replacement (Efron 1979): on average 63 % of them, some repeatedly.

    Args:
        episodes: Indices [e].
        seed: The same seed gives the same draw; independent of `split_episodes` with that seed.

    Returns:
        Sorted indices [e].
    """
    return np.sort(np.random.default_rng([seed, _BOOTSTRAP_STREAM]).choice(episodes, len(episodes)))


def split_episodes(num_episodes: int, fractions: dict[str, float], seed: int) -> dict[str, np.ndarray]:
    """Deal the episodes out at random into named, disjoint parts.

    Args:
        num_episodes: How many episodes there are.
        fractions: Part (train, validation, calibration, test ...) -> share in (0, 1]; they sum to at most 1.
        seed: The same seed gives the same split.

    Returns:
        Part -> sorted episode indices. Sizes are rounded on the cumulated shares, so that shares which sum
        to 1 use every episode.

    Raises:
        UserError: A share is not in (0, 1], they sum to more than 1, or a part would be left empty.
    """
    if any(not 0 < share <= 1 for share in fractions.values()) or sum(fractions.values()) > 1 + 1e-9:
        raise UserError(f"fractions {fractions}: each must lie in (0, 1] and their sum must not exceed 1")
    cuts = np.rint(np.cumsum(list(fractions.values())) * num_episodes).astype(int)
    order = np.random.default_rng(seed).permutation(num_episodes)
    parts = dict(zip(fractions, np.split(order, cuts), strict=False))
    for name, part in parts.items():
        if len(part) == 0:
            raise UserError(f"split '{name}': a share of {fractions[name]:g} of {num_episodes} episodes is no episode")
    return {name: np.sort(part) for name, part in parts.items()}

"""Dimensions that one glitch squeezes: a few values far away take the range, and what the rest tells is lost in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from robolearn.data.normalizer import least_range

# A glitch: leaving out at most so many values (0.1 % of them, but 3 in small data) shrinks the range to below 1 %, and
# what is left still varies. Flags that are 0 but for a few steps leave nothing that varies, so they are none.
MOST_VALUES, MOST_SHARE, LEFT = 3, 0.001, 0.01


@dataclass(frozen=True)
class Glitch:
    """A dimension that is squeezed, and where the value is that is farthest away."""

    dim: int
    episode: int
    sentence: str


def squeezed(key: str, rows: np.ndarray, ends: np.ndarray, numbers: np.ndarray | None = None) -> Iterator[Glitch]:
    """Name each dimension of finite rows [time, ...] that a glitch squeezes, and where the glitch is.

    Args:
        key: Name for the message.
        rows: Of all episodes.
        ends: Cumulative, exclusive ends of the episodes [e].
        numbers: What each of them is called [e]; by default 0, 1, 2 ...
    """
    flat = rows.reshape(len(rows), -1)
    few = max(MOST_VALUES, int(MOST_SHARE * len(rows)))
    if len(rows) < 10 * few:
        return
    for dim in range(flat.shape[1]):
        x = flat[:, dim].astype(np.float64)
        low, high = float(x.min()), float(x.max())
        ordered = np.partition(x, [*range(few + 1), *range(len(x) - few - 1, len(x))]) if few < 50 else np.sort(x)
        spans = ordered[len(x) - 1 - few + np.arange(few + 1)] - ordered[: few + 1]
        first = int(spans.argmin())
        left, bottom, top = float(spans[first]), float(ordered[first]), float(ordered[len(x) - 1 - few + first])
        rest_varies = left > least_range(bottom, top)
        if not rest_varies or left >= LEFT * (high - low):
            continue
        row = int(np.maximum(x - top, bottom - x).argmax())
        episode = int(np.searchsorted(ends, row, side="right"))
        step = row - (int(ends[episode - 1]) if episode else 0)
        episode = episode if numbers is None else int(numbers[episode])
        share = 100 * left / (high - low)
        sentence = (
            f"data/{key}: {x[row]:g} in episode {episode}, step {step}, dim {dim} leaves {share:.2g} % of the range "
            f"to nearly all other values ({bottom:g} to {top:g}); is it a glitch?"
        )
        yield Glitch(dim, episode, sentence)

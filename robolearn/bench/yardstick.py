"""How firmly the selection episodes name the best many-step row, against which rows of one evaluation are judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from robolearn import seeds
from robolearn.bench.summary import Measured, entropies, per_state
from robolearn.stats.bootstrap import NUM_RESAMPLES, Draws
from robolearn.types import Array

Settings = Mapping[str, Sequence[Measured]]
"""Setting -> what was measured, one per training seed."""


def chosen_again(
    rows: Mapping[str, Settings], baseline: str, modes: Sequence[int] | None, expert: float | None, many: int
) -> float:
    """Share of resamples of training seeds and selection states in which the same row is chosen.

    Everything is chosen anew in each: a setting for every row, and the best of the rows whose setting takes many
    evaluations. Rows share the draws of states, and those of training seeds as far as they have as many.

    Args:
        rows: Row -> its settings.
        baseline: The row that all episodes together choose.
        modes: Demonstrations per mode; None where the task has none.
        expert: Mode entropy of the demonstrators, which are not drawn again; None where modes do not matter.
        many: Evaluations per chunk from which a row counts.
    """
    rng = np.random.default_rng(seeds.FIXED)
    first = next(iter(next(iter(rows.values())).values()))
    num_states = per_state(first, "success", "selection").shape[1]
    drawn = rng.random((NUM_RESAMPLES, max(len(seeds) for of in rows.values() for seeds in of.values())))
    states = rng.integers(num_states, size=(NUM_RESAMPLES, 1, num_states))
    best = np.full(NUM_RESAMPLES, -np.inf)
    names = np.full(NUM_RESAMPLES, "", object)
    for name, settings in rows.items():
        merits = np.stack([_merits(seeds, drawn, states, modes, expert) for seeds in settings.values()])
        nfe = np.array([seeds[0]["nfe"] for seeds in settings.values()])
        # The fewest evaluations among equals, as all episodes together choose.
        order = np.argsort(nfe, kind="stable")
        chosen = order[merits[order].argmax(0)]
        value = np.where(nfe[chosen] >= many, merits[chosen, np.arange(NUM_RESAMPLES)], -np.inf)
        better = value > best
        best, names = np.where(better, value, best), np.where(better, name, names)
    return float((names == baseline).mean())


def _merits(
    seeds: Sequence[Measured], drawn: Array, states: Array, modes: Sequence[int] | None, expert: float | None
) -> Array:
    """Merit in each resample [r], see gather."""
    draws = Draws((drawn[:, : len(seeds)] * len(seeds)).astype(int)[..., None], states)
    if modes is None or not expert:
        return draws.means(per_state(seeds, "score", "selection"))
    success = draws.means(per_state(seeds, "success", "selection"))
    entropy = draws.means(entropies(seeds, len(modes), "selection"))
    return success * np.minimum(1.0, entropy / expert)

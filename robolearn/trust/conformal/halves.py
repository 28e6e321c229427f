"""Two halves of episodes: one gives the form of a band or a tube, the other its height."""

from __future__ import annotations

import numpy as np

from robolearn import seeds


def drawn_halves(count: int) -> tuple[list[int], list[int]]:
    """The numbers 0 .. count - 1 in two halves, each in ascending order; the first has one more if they are odd.

    They are drawn. Every other episode would be every other seed, and where starts follow seeds that cycle, each half
    would hold starts of its own: such bands alarmed in 0.55 of the episodes where 0.1 was promised.

        drawn_halves(4)  # ([0, 3], [1, 2]), say
    """
    order = np.random.default_rng([seeds.FIXED, count]).permutation(count)
    most = (count + 1) // 2
    return np.sort(order[:most]).tolist(), np.sort(order[most:]).tolist()

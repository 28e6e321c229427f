"""A grid whose cells are halved where it has to be finer: the boxes that a reachability proof is made of."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

MARGIN = 1e-9  # of a cell: what is nearer to a neighbor may be in it, as divisions round
Cell = tuple[int, ...]
"""Level, then an index along each axis; a level halves the cells of the one before."""


@dataclass
class Cells:
    """Cells of a grid, as fine as asked for.

    Attributes:
        origin: Corner of cell (0, 0, ...), [n].
        size: Of the coarsest cells, [n].
        finest: Levels of halving.
        halved: Cells that count as their halves.
    """

    origin: np.ndarray
    size: np.ndarray
    finest: int
    halved: set[Cell] = field(default_factory=set)

    def box(self, cell: Cell) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper corner, [n] each; neighbors share theirs to the last bit."""
        index, size = np.array(cell[1:]), self.size / 2 ** cell[0]
        return self.origin + index * size, self.origin + (index + 1) * size

    def halve(self, cell: Cell) -> list[Cell]:
        """From now on a cell counts as these."""
        assert cell[0] < self.finest, "the finest cells stay whole"
        self.halved.add(cell)
        return self.parts(cell)

    def parts(self, cell: Cell) -> list[Cell]:
        """The cells of the next level in a cell."""
        return [(cell[0] + 1, *index) for index in itertools.product(*((2 * i, 2 * i + 1) for i in cell[1:]))]

    def covering(self, lower: np.ndarray, upper: np.ndarray) -> Iterator[Cell]:
        """The cells, none of them halved, that cover a closed box [n]."""
        lower, upper = lower - MARGIN * self.size, upper + MARGIN * self.size
        first, last = (np.floor((corner - self.origin) / self.size).astype(int) for corner in (lower, upper))
        for index in itertools.product(*(range(i, j + 1) for i, j in zip(first.tolist(), last.tolist(), strict=True))):
            yield from self.within((0, *index), lower, upper)

    def within(self, cell: Cell, lower: np.ndarray, upper: np.ndarray) -> Iterator[Cell]:
        """Of a cell, or of what it was halved into, what meets a closed box."""
        if cell not in self.halved:
            yield cell
            return
        for part in self.parts(cell):
            low, high = self.box(part)
            if (low <= upper).all() and (high >= lower).all():
                yield from self.within(part, lower, upper)

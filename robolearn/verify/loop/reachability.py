"""From which cells a policy of codes surely crosses: a memo of cells, and halving where that is not known.

A cell is proved if each code that may be drawn in it keeps clear and ends behind the finish, or in cells that are
proved. What was found of a cell holds whenever a rod comes there, so that sequences of codes are never enumerated:
cells are as many as there are places, however often the policy is asked.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from robolearn.verify.loop.cells import Cell, Cells
from robolearn.verify.loop.chunked import Crossing, Passage, explore

BATCH = 256  # cells that are bounded together


@dataclass
class Reachability:
    """Cells of a crossing, and what is known of them.

    Attributes:
        crossing: What is asked.
        cells: The grid, of observations.
        starts: Cells that cover the initial observations; halved ones stand for their halves.
        known: Cell -> its codes' chunks.
        proved: Cell -> actions after which the finish is surely reached.
    """

    crossing: Crossing
    cells: Cells
    starts: list[Cell]
    known: dict[Cell, list[Passage]] = field(default_factory=dict)
    proved: dict[Cell, float] = field(default_factory=dict)

    def run(self, seconds: float = math.inf) -> bool:
        """Prove as much as can be, halving what is not; returns whether that ended before the time did."""
        end = time.monotonic() + seconds
        while True:
            while todo := self._unknown():
                for i in range(0, len(todo), BATCH):
                    if time.monotonic() > end:
                        self._prove()
                        return False
                    self._look_at(todo[i : i + BATCH])
            self._prove()
            worth = self._worth_halving()
            if not worth:
                return True
            for cell in worth:
                self.cells.halve(cell)

    @property
    def leaves(self) -> list[Cell]:
        """The cells of the initial observations, none of them halved."""
        return [leaf for cell in self.starts for leaf in self.cells.within(cell, *self.cells.box(cell))]

    def successors(self, passage: Passage) -> Iterator[Cell]:
        """The cells where the policy is asked again after a chunk."""
        if passage.duration is None:
            yield from self.cells.covering(passage.lower, passage.upper)

    def keeps_clear(self, cell: Cell) -> bool:
        """Whether no code's chunk from a known cell may touch something."""
        return all(passage.clearance > 0 for passage in self.known[cell])

    def _look_at(self, cells: list[Cell]) -> None:
        """Find out what happens in cells; halve those where something may be touched."""
        passages = explore(self.crossing, [self.cells.box(cell) for cell in cells])
        self.known.update(zip(cells, passages, strict=True))
        for cell in cells:
            if cell[0] < self.cells.finest and not self.keeps_clear(cell):
                self.cells.halve(cell)

    def reached(self, start: Iterable[Cell], *, unproved: bool = False) -> Iterator[Cell]:
        """Cells that may be reached from others as far as is known; with `unproved` through unproved ones alone."""
        seen = set(start)
        todo = list(seen)
        while todo:
            cell = todo.pop()
            yield cell
            if cell not in self.known or not self.keeps_clear(cell):
                continue
            for passage in self.known[cell]:
                for after in self.successors(passage):
                    if after not in seen and not (unproved and after in self.proved):
                        seen.add(after)
                        todo.append(after)

    def _unknown(self) -> list[Cell]:
        return [cell for cell in self.reached(self.leaves) if cell not in self.known]

    def _prove(self) -> None:
        """Prove cells from the finish backward, until no more follow."""
        self.proved.clear()
        rest = {cell for cell in self.reached(self.leaves) if cell in self.known and self.keeps_clear(cell)}
        durations = True
        while durations:
            durations = {cell: self._duration(cell) for cell in rest}
            durations = {cell: duration for cell, duration in durations.items() if duration <= self.crossing.most_steps}
            self.proved.update(durations)
            rest -= durations.keys()

    def _duration(self, cell: Cell) -> float:
        """Actions from a cell to the finish, at most; infinite if it is not proved that it is reached."""
        longest = 0.0
        for passage in self.known[cell]:
            if passage.duration is not None:
                longest = max(longest, float(passage.duration))
                continue
            for after in self.successors(passage):
                longest = max(longest, self.crossing.steps + self.proved.get(after, math.inf))
                if longest == math.inf:
                    return longest
        return longest

    def _worth_halving(self) -> list[Cell]:
        """Unproved cells on the way from unproved initial ones; first those before cells that cannot be halved."""
        way = set(self.reached((cell for cell in self.leaves if cell not in self.proved), unproved=True))
        coarse = [cell for cell in way if cell[0] < self.cells.finest]
        stuck = {cell for cell in way if cell[0] == self.cells.finest}
        before = [
            cell
            for cell in coarse
            if any(after in stuck for passage in self.known[cell] for after in self.successors(passage))
        ]
        return before or coarse

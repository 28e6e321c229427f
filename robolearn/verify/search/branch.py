"""Branch and bound: what is not decided by bounds is cut in two, nearest to a violation first, many at once.

A part of the box is done with when every set of unsafe outputs has a row that is positive all over it. How parts are
bounded and how they are cut differs: across an input, or at the knot of an activation.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robolearn.verify.crown import LinearBound
from robolearn.verify.graph import Affine, Bounds, Graph
from robolearn.verify.property import Case
from robolearn.verify.search.verdict import Verdict, Witness

NARROWEST = 1e-11  # of a box's width at the start; below it bounds are as good as they get
Confirm = Callable[[Tensor], Witness | None]
"""Candidates [c, n] in float64 -> one that violates the case in the network's own precision, if there is one."""


@dataclass(frozen=True)
class Parts:
    """Parts of a box that are not done with: boxes, in which some activations may be on a known side of their knot.

    Attributes:
        lower: [b, n].
        upper: [b, n].
        margin: What is proved of each, [b].
        known: Node -> bounds that hold in the part that each was cut from, and so in itself.
        sides: Node -> 1 where its number is at least the knot of what reads it, -1 where it is at most, else 0, [b, k];
            only for nodes at which parts may be cut.
        next_cut: Node and its number at which the part is to be cut, int [b, 2]; -1 for an input.
    """

    lower: Tensor
    upper: Tensor
    margin: Tensor
    known: dict[int, Bounds]
    sides: dict[int, Tensor]
    next_cut: Tensor

    @classmethod
    def start(cls, graph: Graph, case: Case, cut: tuple[int, ...] = ()) -> Parts:
        """The whole box of a case, of which nothing is known; ``cut`` are nodes at which it may be cut."""
        nodes = [i for i in graph.readers if isinstance(graph.nodes[i], Affine)]
        infinite = {i: torch.full((1, graph.nodes[i].size), torch.inf, dtype=torch.float64) for i in nodes}
        known = {i: (-high, high) for i, high in infinite.items()}
        sides = {i: torch.zeros(1, graph.nodes[i].size, dtype=torch.float64) for i in cut}
        margin = torch.full((1,), -torch.inf, dtype=torch.float64)
        return cls(case.box.lower[None], case.box.upper[None], margin, known, sides, torch.full((1, 2), -1))

    def __len__(self) -> int:
        return len(self.margin)

    def __getitem__(self, rows: Tensor) -> Parts:
        known = {node: (low[rows], high[rows]) for node, (low, high) in self.known.items()}
        sides = {node: side[rows] for node, side in self.sides.items()}
        next_cut = self.next_cut[rows]
        return Parts(self.lower[rows], self.upper[rows], self.margin[rows], known, sides, next_cut)

    def __add__(self, other: Parts) -> Parts:
        known = {
            node: (torch.cat([low, other.known[node][0]]), torch.cat([high, other.known[node][1]]))
            for node, (low, high) in self.known.items()
        }
        sides = {node: torch.cat([side, other.sides[node]]) for node, side in self.sides.items()}
        lower, upper = torch.cat([self.lower, other.lower]), torch.cat([self.upper, other.upper])
        margin, next_cut = torch.cat([self.margin, other.margin]), torch.cat([self.next_cut, other.next_cut])
        return Parts(lower, upper, margin, known, sides, next_cut)

    def nearest(self, count: int) -> Tensor:
        """Which are nearest to a violation, bool [b]."""
        chosen = torch.zeros(len(self), dtype=torch.bool)
        chosen[self.margin.nan_to_num(nan=-torch.inf).topk(min(count, len(self)), largest=False).indices] = True
        return chosen

    def halves(self, score: Tensor) -> Parts:
        """Both halves of every box, cut across the input with the highest score."""
        axis, rows = score.argmax(1), torch.arange(len(self))
        middle = self.lower[rows, axis] / 2 + self.upper[rows, axis] / 2
        upper, lower = self.upper.clone(), self.lower.clone()
        upper[rows, axis], lower[rows, axis] = middle, middle
        return replace(self, upper=upper) + replace(self, lower=lower)


class Search(ABC):
    """Where a branch and bound stands.

    Args:
        graph: The network.
        case: What is asked of it.
        confirm: Replays candidates.

    Attributes:
        rows: The case as a layer of the network.
        parts: What is not done with.
        proved: The least margin of what is.
        bounded: How many parts were bounded so far.
        width: Of the whole box [1, n].
    """

    def __init__(self, graph: Graph, case: Case, confirm: Confirm) -> None:
        self.started, self.graph, self.confirm = time.perf_counter(), graph, confirm
        self.rows = Rows.from_case(graph, case)
        self.parts = self.start(case)
        self.proved, self.bounded = torch.inf, 0
        self.width = self.parts.upper - self.parts.lower

    @abstractmethod
    def start(self, case: Case) -> Parts:
        """The whole box."""

    @abstractmethod
    def bound(self, parts: Parts) -> tuple[Parts, LinearBound]:
        """Bound the rows over parts; returns these with what is known by then."""

    @abstractmethod
    def cut(self, parts: Parts, bound: LinearBound) -> Parts:
        """Both pieces of every part; what cannot be unsafe may be left out."""

    def run(self, seconds: float, batch: int) -> Verdict:
        """Go on until all is decided, or the time is up; it is looked at between batches."""
        while len(self.parts):
            if time.perf_counter() - self.started > seconds:
                return self.verdict("the time is up")
            verdict = self.step(batch)
            if verdict is not None:
                return verdict
        return self.verdict()

    def verdict(self, reason: str = "", witness: Witness | None = None) -> Verdict:
        """What is known by now."""
        bound = min([self.proved, *self.parts.margin.tolist()])
        answer = "sat" if witness else "unknown" if reason else "unsat"
        return Verdict(answer, bound, witness, self.bounded, time.perf_counter() - self.started, reason)

    def step(self, batch: int) -> Verdict | None:
        """Bound the parts that are nearest to a violation, and cut those in two that this does not decide."""
        chosen = self.parts.nearest(batch)
        part, bound = self.bound(self.parts[chosen])
        self.bounded += len(part)
        undecided = ~(part.margin > 0)
        self.proved = min([self.proved, *part.margin[~undecided].tolist()])
        self.parts, part, bound = self.parts[~chosen], part[undecided], bound[undecided]
        if not len(part):
            return None
        witness = self.confirm(self.rows.candidates(self.graph, part.lower, part.upper, bound.slope))
        narrow = (part.upper - part.lower <= NARROWEST * self.width).all(1).any()
        if witness is not None or narrow:
            self.parts += part
            return self.verdict("" if witness else "bounds of points are too wide to decide", witness)
        self.parts += self.cut(part, bound)
        return None


@dataclass(frozen=True)
class Rows:
    """The half-spaces of a case as one more layer of the network, all sets one behind the other.

    Attributes:
        graph: The network with the rows as its output.
        sets: Where each set of half-spaces has its rows.
    """

    graph: Graph
    sets: tuple[slice, ...]

    @classmethod
    def from_case(cls, graph: Graph, case: Case) -> Rows:
        """Put them behind a network; a set without rows gets one that is never positive."""
        weights, offsets, sets, end = [], [], [], 0
        for one in case.unsafe:
            empty = not len(one.offset)
            weights.append(torch.zeros(1, one.size, dtype=torch.float64) if empty else one.weights)
            offsets.append(torch.full((1,), -1.0, dtype=torch.float64) if empty else one.offset)
            sets.append(slice(end, end + len(offsets[-1])))
            end += len(offsets[-1])
        return cls(graph.followed_by(torch.cat(weights), torch.cat(offsets)), tuple(sets))

    def margin(self, rows: Tensor) -> Tensor:
        """Of each set the greatest row, and of the sets the least: [b] of rows [b, k]."""
        return torch.stack([rows[:, one].amax(1) for one in self.sets], 1).amin(1)

    def candidates(self, graph: Graph, lower: Tensor, upper: Tensor, slope: Tensor) -> Tensor:
        """Centers of boxes, and the corners that linear bounds point to, that violate the case in float64."""
        points = [lower / 2 + upper / 2]
        for one in self.sets:
            points.append(torch.where(slope[:, one].sum(1) > 0, lower, upper))
        x = torch.cat(points)
        return x[self.margin(self.graph(x)) <= 0]

"""Branch and bound over the input: where the bounds of a box do not decide, it is cut in two.

A box is done with when every set of unsafe outputs has a row that is positive all over it. What is left of the others
is what their linear bounds leave: where a row's bound is positive, no input can be unsafe, and the box shrinks. Of the
rest the boxes nearest to a violation come first, many at once, and the input that moves the bounds most is bisected.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robolearn.verify.crown import LinearBound, lower_bound, relax
from robolearn.verify.graph import Affine, Bounds, Graph
from robolearn.verify.property import Case
from robolearn.verify.rounding import TINY
from robolearn.verify.search.verdict import Verdict, Witness

BATCH = 128  # boxes that are bounded at once; more leave the processor's cache
LEAST_SHARE = 0.005  # of the largest influence, that every input counts with
NARROWEST = 1e-11  # of a box's width at the start; below it bounds are as good as they get
Confirm = Callable[[Tensor], Witness | None]
"""Candidates [c, n] in float64 -> one that violates the case in the network's own precision, if there is one."""


@dataclass(frozen=True)
class Boxes:
    """Boxes that are not done with.

    Attributes:
        lower: [b, n].
        upper: [b, n].
        margin: What is proved of each, [b].
        known: Node -> bounds that hold in the box that each was cut from, and so in itself.
    """

    lower: Tensor
    upper: Tensor
    margin: Tensor
    known: dict[int, Bounds]

    def __len__(self) -> int:
        return len(self.margin)

    def __getitem__(self, rows: Tensor) -> Boxes:
        known = {node: (low[rows], high[rows]) for node, (low, high) in self.known.items()}
        return Boxes(self.lower[rows], self.upper[rows], self.margin[rows], known)

    def __add__(self, other: Boxes) -> Boxes:
        known = {
            node: (torch.cat([low, other.known[node][0]]), torch.cat([high, other.known[node][1]]))
            for node, (low, high) in self.known.items()
        }
        lower, upper = torch.cat([self.lower, other.lower]), torch.cat([self.upper, other.upper])
        return Boxes(lower, upper, torch.cat([self.margin, other.margin]), known)

    def nearest(self, count: int) -> Tensor:
        """Which are nearest to a violation, bool [b]."""
        chosen = torch.zeros(len(self), dtype=torch.bool)
        chosen[self.margin.nan_to_num(nan=-torch.inf).topk(min(count, len(self)), largest=False).indices] = True
        return chosen

    def halves(self, score: Tensor) -> Boxes:
        """Both halves of every box, cut across the input with the highest score."""
        axis, rows = score.argmax(1), torch.arange(len(self))
        middle = self.lower[rows, axis] / 2 + self.upper[rows, axis] / 2
        upper, lower = self.upper.clone(), self.lower.clone()
        upper[rows, axis], lower[rows, axis] = middle, middle
        return replace(self, upper=upper) + replace(self, lower=lower)


def search_inputs(graph: Graph, case: Case, confirm: Confirm, *, seconds: float, batch: int = BATCH) -> Verdict:
    """Prove a case, or find a counterexample.

    Args:
        graph: The network.
        case: Of few inputs, about 14 at most; every further one doubles the boxes.
        confirm: Replays candidates.
        seconds: After which it stops with what is known; checked between batches.
        batch: Boxes that are bounded at once.
    """
    search = Search(graph, case, confirm)
    while len(search.boxes):
        if time.perf_counter() - search.started > seconds:
            return search.verdict("the time is up")
        verdict = search.step(batch)
        if verdict is not None:
            return verdict
    return search.verdict()


class Search:
    """Where a branch and bound stands.

    Args:
        graph: The network.
        case: What is asked of it.
        confirm: Replays candidates.

    Attributes:
        boxes: What is not done with.
        proved: The least margin of what is.
        bounded: How many boxes were bounded so far.
    """

    def __init__(self, graph: Graph, case: Case, confirm: Confirm) -> None:
        self.started, self.graph, self.confirm = time.perf_counter(), graph, confirm
        self.rows = Rows.of(graph, case)
        self.boxes, self.proved, self.bounded = self.rows.start(case), torch.inf, 0
        self.width = self.boxes.upper - self.boxes.lower

    def verdict(self, reason: str = "", witness: Witness | None = None) -> Verdict:
        """What is known by now."""
        bound = min([self.proved, *self.boxes.margin.tolist()])
        answer = "sat" if witness else "unknown" if reason else "unsat"
        return Verdict(answer, bound, witness, self.bounded, time.perf_counter() - self.started, reason)

    def step(self, batch: int) -> Verdict | None:
        """Bound the boxes that are nearest to a violation, and cut those in two that this does not decide."""
        chosen = self.boxes.nearest(batch)
        part, bound = self.rows.bound(self.boxes[chosen])
        self.bounded += len(part)
        undecided = ~(part.margin > 0)
        self.proved = min([self.proved, *part.margin[~undecided].tolist()])
        self.boxes, part, bound = self.boxes[~chosen], part[undecided], bound[undecided]
        if not len(part):
            return None
        witness = self.confirm(self.rows.candidates(self.graph, part, bound))
        narrow = (part.upper - part.lower <= NARROWEST * self.width).all(1).any()
        if witness is not None or narrow:
            self.boxes += part
            return self.verdict("" if witness else "bounds of points are too wide to decide", witness)
        whole = part
        part, slope = self.rows.shrunk(part, bound)
        if len(part) < len(whole) or (part.lower > whole.lower).any() or (part.upper < whole.upper).any():
            self.proved = min(self.proved, TINY)  # of what is cut away it is known that it is above 0, and no more
        if len(part):
            share = (part.upper - part.lower) / self.width.clamp(min=TINY)
            self.boxes += part.halves(influence(slope, self.width) * share)
        return None


def influence(slope: Tensor, width: Tensor) -> Tensor:
    """How much each input moves the rows of slopes [b, k, n] over boxes of this width at the start, [b, n].

    Where a bound is loose its slope can be 0 although the network's is not, and an input that is never cut stays
    wide: each counts at least as a share of the largest.
    """
    moves = slope.abs().sum(1).nan_to_num(nan=1.0, posinf=1e300) * width
    return moves.clamp(min=TINY).maximum(LEAST_SHARE * moves.amax(1, keepdim=True))


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
    def of(cls, graph: Graph, case: Case) -> Rows:
        """Put them behind a network; a set without rows gets one that is never positive."""
        weights, offsets, sets, end = [], [], [], 0
        for one in case.unsafe:
            empty = not len(one.offset)
            weights.append(torch.zeros(1, one.size, dtype=torch.float64) if empty else one.weights)
            offsets.append(torch.full((1,), -1.0, dtype=torch.float64) if empty else one.offset)
            sets.append(slice(end, end + len(offsets[-1])))
            end += len(offsets[-1])
        return cls(graph.followed_by(torch.cat(weights), torch.cat(offsets)), tuple(sets))

    def start(self, case: Case) -> Boxes:
        """The box of the case, of which nothing is known."""
        nodes = [i for i in self.graph.readers if isinstance(self.graph.nodes[i], Affine)]
        infinite = {i: torch.full((1, self.graph.nodes[i].size), torch.inf, dtype=torch.float64) for i in nodes}
        known = {i: (-high, high) for i, high in infinite.items()}
        margin = torch.full((1,), -torch.inf, dtype=torch.float64)
        return Boxes(case.box.lower[None], case.box.upper[None], margin, known)

    def bound(self, boxes: Boxes) -> tuple[Boxes, LinearBound]:
        """The rows over boxes; and the boxes with what is known by then."""
        eye = torch.eye(self.graph.output_size, dtype=torch.float64)
        relaxed = relax(self.graph, boxes.lower, boxes.upper, known=boxes.known)
        bound = lower_bound(relaxed, len(self.graph.nodes) - 1, eye)
        bound = replace(bound, slope=bound.slope.expand(len(boxes), -1, -1))
        known = {node: relaxed.bounds[node] for node in boxes.known}
        return replace(boxes, margin=self.margin(bound.least), known=known), bound

    def margin(self, rows: Tensor) -> Tensor:
        """Of each set the greatest row, and of the sets the least: [b] of rows [b, k]."""
        return torch.stack([rows[:, one].amax(1) for one in self.sets], 1).amin(1)

    def candidates(self, graph: Graph, boxes: Boxes, bound: LinearBound) -> Tensor:
        """Centers, and the corners that the linear bounds point to, that violate the case in float64."""
        points = [boxes.lower / 2 + boxes.upper / 2]
        for one in self.sets:
            points.append(torch.where(bound.slope[:, one].sum(1) > 0, boxes.lower, boxes.upper))
        x = torch.cat(points)
        return x[self.margin(self.graph(x)) <= 0]

    def shrunk(self, boxes: Boxes, bound: LinearBound) -> tuple[Boxes, Tensor]:
        """Cut from boxes what cannot be unsafe; returns what is left, and the slopes there.

        An unsafe x of a set has  slope x + offset <= 0  in each of its rows, so that with all other inputs where they
        are least,  slope_j x_j <= -offset - sum_{k != j} min slope_k x_k.  What all sets cut goes.
        """
        lower, upper, slope, offset = boxes.lower, boxes.upper, bound.slope, bound.offset
        least = torch.minimum(slope * lower[:, None], slope * upper[:, None])  # [b, k, n]
        reach = (slope.abs() * torch.maximum(lower.abs(), upper.abs())[:, None]).sum(2) + offset.abs()
        room = -(offset[:, :, None] + least.sum(2, keepdim=True) - least) + 1e-12 * reach[:, :, None] + 1e-300
        limit = room / slope
        most = torch.where(slope > 0, limit + 1e-12 * limit.abs(), torch.inf)
        fewest = torch.where(slope < 0, limit - 1e-12 * limit.abs(), -torch.inf)
        high = torch.stack([most[:, one].amin(1) for one in self.sets]).amax(0)
        low = torch.stack([fewest[:, one].amax(1) for one in self.sets]).amin(0)
        lower, upper = torch.fmax(lower, low), torch.fmin(upper, high)
        left = (lower <= upper).all(1)
        return replace(boxes, lower=lower, upper=upper)[left], slope[left]

"""Branch and bound over the input, for networks with few inputs.

What bounds do not decide is cut across the input that moves them most. Before that it shrinks: where the linear bound
of a row is positive, no input is unsafe.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from robolearn.verify.crown import LinearBound, lower_bound, relax
from robolearn.verify.graph import Graph
from robolearn.verify.property import Case
from robolearn.verify.rounding import TINY
from robolearn.verify.search.branch import Confirm, Parts, Search
from robolearn.verify.search.verdict import Verdict

BATCH = 128  # boxes that are bounded at once; more leave the processor's cache
LEAST_SHARE = 0.005  # of the largest influence, that every input counts with


def search_inputs(graph: Graph, case: Case, confirm: Confirm, *, seconds: float, batch: int = BATCH) -> Verdict:
    """Prove a case, or find a counterexample.

    Args:
        graph: The network.
        case: Of few inputs, about 14 at most; every further one doubles the boxes.
        confirm: Replays candidates.
        seconds: After which it stops with what is known; checked between batches.
        batch: Boxes that are bounded at once.
    """
    return InputSearch(graph, case, confirm).run(seconds, batch)


class InputSearch(Search):
    """Boxes, cut across inputs."""

    def start(self, case: Case) -> Parts:
        """The whole box."""
        return Parts.start(self.rows.graph, case)

    def bound(self, parts: Parts) -> tuple[Parts, LinearBound]:
        """By linear bounds, from the node that is known least to the rows."""
        graph = self.rows.graph
        relaxed = relax(graph, parts.lower, parts.upper, known=parts.known)
        bound = lower_bound(relaxed, len(graph.nodes) - 1, torch.eye(graph.output_size, dtype=torch.float64))
        bound = replace(bound, slope=bound.slope.expand(len(parts), -1, -1))
        known = {node: relaxed.bounds[node] for node in parts.known}
        return replace(parts, margin=self.rows.margin(bound.least), known=known), bound

    def cut(self, parts: Parts, bound: LinearBound) -> Parts:
        """Shrink, then halve."""
        whole = parts
        parts, slope = shrunk(parts, bound, self.rows.sets)
        if len(parts) < len(whole) or (parts.lower > whole.lower).any() or (parts.upper < whole.upper).any():
            self.proved = min(self.proved, TINY)  # of what is cut away it is known that it is above 0, and no more
        share = (parts.upper - parts.lower) / self.width.clamp(min=TINY)
        return parts.halves(influence(slope, self.width) * share)


def influence(slope: Tensor, width: Tensor) -> Tensor:
    """How much each input moves the rows of slopes [b, k, n] over boxes of this width at the start, [b, n].

    Where a bound is loose its slope can be 0 although the network's is not, and an input that is never cut stays
    wide: each counts at least as a share of the largest.
    """
    moves = slope.abs().sum(1).nan_to_num(nan=1.0, posinf=1e300) * width
    return moves.clamp(min=TINY).maximum(LEAST_SHARE * moves.amax(1, keepdim=True))


def shrunk(parts: Parts, bound: LinearBound, sets: tuple[slice, ...]) -> tuple[Parts, Tensor]:
    """Cut from parts what cannot be unsafe; returns what is left, and the slopes there.

    An unsafe x of a set has  slope x + offset <= 0  in each of its rows, so that with all other inputs where they
    are least,  slope_j x_j <= -offset - sum_{k != j} min slope_k x_k.  What all sets cut goes.
    """
    lower, upper, slope, offset = parts.lower, parts.upper, bound.slope, bound.offset
    least = torch.minimum(slope * lower[:, None], slope * upper[:, None])  # [b, k, n]
    reach = (slope.abs() * torch.maximum(lower.abs(), upper.abs())[:, None]).sum(2) + offset.abs()
    room = -(offset[:, :, None] + least.sum(2, keepdim=True) - least) + 1e-12 * reach[:, :, None] + 1e-300
    limit = room / slope
    most = torch.where(slope > 0, limit + 1e-12 * limit.abs(), torch.inf)
    fewest = torch.where(slope < 0, limit - 1e-12 * limit.abs(), -torch.inf)
    high = torch.stack([most[:, one].amin(1) for one in sets]).amax(0)
    low = torch.stack([fewest[:, one].amax(1) for one in sets]).amin(0)
    lower, upper = torch.fmax(lower, low), torch.fmin(upper, high)
    left = (lower <= upper).all(1)
    return replace(parts, lower=lower, upper=upper)[left], slope[left]

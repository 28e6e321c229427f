"""Branch and bound over activations, for networks with many inputs: a part is cut at the knot of one of them.

On either side of its knot an activation with one knot is a straight line. Which one is cut is the one whose two lines
are furthest apart as they enter the bound (Bunel et al. 2020). Where none is left and bounds still do not decide, as
they are linear programs that are solved by a few gradient steps only, the widest input is halved.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from robolearn.verify.crown import LinearBound, Relaxed, relax
from robolearn.verify.graph import Elementwise, Graph
from robolearn.verify.property import Case
from robolearn.verify.relaxations.piecewise import PiecewiseLinear
from robolearn.verify.rounding import TINY
from robolearn.verify.search.branch import Confirm, Parts, Search
from robolearn.verify.search.verdict import Verdict
from robolearn.verify.slopes import optimized_bound

BATCH = 32  # parts that are bounded at once


def search_activations(graph: Graph, case: Case, confirm: Confirm, *, seconds: float, batch: int = BATCH) -> Verdict:
    """Prove a case, or find a counterexample; see `search_inputs`.

    Activations without a single knot at 0, as of tanh, are never cut; there only the inputs are.
    """
    return ActivationSearch(graph, case, confirm).run(seconds, batch)


def knotted(graph: Graph) -> dict[int, int]:
    """Nonlinear nodes with one knot, at 0 -> the node that they read."""
    return {
        i: node.sources[0]
        for i, node in enumerate(graph.nodes)
        if isinstance(node, Elementwise)
        and isinstance(node.function, PiecewiseLinear)
        and node.function.knots == (0.0,)
        and node.sources[0] != 0
    }


class ActivationSearch(Search):
    """Parts with activations on a known side of their knot."""

    def start(self, case: Case) -> Parts:
        """The whole box."""
        self.knotted = knotted(self.rows.graph)
        return Parts.start(self.rows.graph, case, tuple(dict.fromkeys(self.knotted.values())))

    def bound(self, parts: Parts) -> tuple[Parts, LinearBound]:
        """By linear bounds with the best slopes and multipliers; an empty part is done with."""
        graph = self.rows.graph
        relaxed = relax(graph, parts.lower, parts.upper, known=parts.known)
        eye = torch.eye(graph.output_size, dtype=torch.float64)
        bound, passing = optimized_bound(relaxed, eye, sides=parts.sides)
        margin = torch.where(relaxed.empty, torch.inf, self.rows.margin(bound.least))
        known = {node: relaxed.bounds[node] for node in parts.known}
        return replace(parts, margin=margin, known=known, next_cut=self._next_cut(relaxed, passing)), bound

    def _next_cut(self, relaxed: Relaxed, passing: dict[int, Tensor]) -> Tensor:
        """Of each part the node, and its number, whose activation loosens the bounds most; -1 where none does."""
        best = torch.zeros(len(relaxed.empty), dtype=torch.float64)
        chosen = torch.full((len(best), 2), -1)
        for i, source in self.knotted.items():
            lower, upper = relaxed.bounds[source]
            line, passed = relaxed.lines[i][0], passing[i].unflatten(0, (len(best), -1))
            # Above 0 slopes are bounded by the line below, which is off most at the nearer end; else by the one above.
            above = passed.clamp(min=0).sum((1, 2)) * torch.minimum(upper, -lower) / 2
            below = -passed.clamp(max=0).sum((1, 2)) * line.upper_offset
            score, number = torch.where((lower < 0) & (upper > 0), above + below + TINY, 0.0).max(1)
            better = score > best
            chosen[better] = torch.stack([torch.full_like(number, source), number], 1)[better]
            best = torch.where(better, score, best)
        return chosen

    def cut(self, parts: Parts, bound: LinearBound) -> Parts:
        """At the activation that loosens most; across the widest input where there is none."""
        inputs = parts.next_cut[:, 0] < 0
        rest = parts[inputs]
        share = (rest.upper - rest.lower) / self.width.clamp(min=TINY)
        pieces = rest.halves(share)
        for side in (1.0, -1.0):
            pieces += _on_side(parts[~inputs], side)
        return pieces


def _on_side(parts: Parts, side: float) -> Parts:
    """Parts with the activation of their next cut at least (side 1) or at most (side -1) at its knot."""
    known, sides = dict(parts.known), dict(parts.sides)
    for node in sides:
        rows = (parts.next_cut[:, 0] == node).nonzero()[:, 0]
        numbers = parts.next_cut[rows, 1]
        (low, high), marks = (x.clone() for x in known[node]), sides[node].clone()
        edge = low if side > 0 else high
        edge[rows, numbers] = edge[rows, numbers].clamp(min=0.0) if side > 0 else edge[rows, numbers].clamp(max=0.0)
        marks[rows, numbers] = side
        known[node], sides[node] = (low, high), marks
    return replace(parts, known=known, sides=sides)

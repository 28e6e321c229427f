"""Linear bounds from the output back to the input: CROWN (Zhang et al. 2018, theorem 3.2), on a graph.

A bound  y >= A x_k + c  on a node k becomes one on its sources: an affine node multiplies A with its matrices, and a
nonlinear one puts the line below where A is positive and the line above where it is negative. At the input the least
value over the box is  A center - |A| radius + c. Bounds from above are those from below of the negative.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from robolearn.verify.graph import Affine, Bounds, Elementwise, Graph, Maximum, Node, Product, lines_with_slack
from robolearn.verify.relaxations.function import Lines
from robolearn.verify.rounding import DOUBLE, SPARE, TINY, center_radius, gamma


@dataclass(frozen=True)
class Relaxed:
    """A graph over boxes: bounds of every node, and the lines of the nonlinear ones.

    Attributes:
        graph: The network.
        bounds: Node -> lower and upper, [b, n].
        lines: Node -> lines [b, n]; of a product those of each source, in order.
        slacks: Node -> how far an affine node's computed value can be from the true one, [b, n].
        empty: Boxes [b] in which bounds that hold anyway contradict each other, so that nothing is in them.
    """

    graph: Graph
    bounds: list[Bounds]
    lines: dict[int, tuple[Lines, ...]]
    slacks: dict[int, Tensor]
    empty: Tensor


@dataclass(frozen=True)
class LinearBound:
    """slope x + offset <= the bounded numbers, for x in the box.

    Attributes:
        slope: [b or 1, m, n].
        offset: [b, m].
        least: The least value over the box, [b, m].
    """

    slope: Tensor
    offset: Tensor
    least: Tensor

    def __getitem__(self, rows: Tensor) -> LinearBound:
        return LinearBound(self.slope[rows], self.offset[rows], self.least[rows])


def intervals(graph: Graph, lower: Tensor, upper: Tensor) -> list[Bounds]:
    """Bounds of every node by interval arithmetic, for boxes [b, n]."""
    bounds: list[Bounds] = [(lower.double(), upper.double())]
    for index in range(1, len(graph.nodes)):
        bounds.append(graph.interval(index, bounds))
    return bounds


def relax(graph: Graph, lower: Tensor, upper: Tensor, *, known: Mapping[int, Bounds] | None = None) -> Relaxed:
    """Bound every node, from the input on: by intervals, and where something nonlinear reads it also linearly.

    Args:
        graph: The network.
        lower: Of the boxes [b, n].
        upper: Of the boxes [b, n].
        known: Node -> bounds that hold anyway, as those of a larger box or of a split.
    """
    empty = torch.zeros(len(lower), dtype=torch.bool)
    relaxed = Relaxed(graph, [(lower.double(), upper.double())], {}, {}, empty)
    for i, node in enumerate(graph.nodes[1:], start=1):
        given = [relaxed.bounds[j] for j in node.sources]
        bounds = graph.interval(i, relaxed.bounds)
        if known and i in known:
            bounds = torch.maximum(bounds[0], known[i][0]), torch.minimum(bounds[1], known[i][1])
        relaxed.bounds.append(bounds)
        if not isinstance(node, Affine):
            relaxed.lines[i] = lines_of(node, given)
            continue
        relaxed.slacks[i] = node.slack(given)
        if i in graph.readers:
            low, high = _tightened(relaxed, i)
            empty |= (low > high).any(1)
            relaxed.bounds[i] = low, torch.maximum(low, high)
    return relaxed


@dataclass(frozen=True)
class Enclosure:
    """lower.slope x + lower.offset <= f(x) <= -(upper.slope x + upper.offset) for x in the box.

    Attributes:
        lower: Of the outputs.
        upper: Of their negatives.
    """

    lower: LinearBound
    upper: LinearBound

    @property
    def bounds(self) -> Bounds:
        """Least and greatest values over the box, [b, m]."""
        return self.lower.least, -self.upper.least


def linear_bounds(graph: Graph, lower: Tensor, upper: Tensor) -> Enclosure:
    """Bound the outputs of a network over boxes by linear functions of its input.

        enclosure = linear_bounds(graph, torch.zeros(1, 2), torch.ones(1, 2))
        least, most = enclosure.bounds

    Args:
        graph: The network.
        lower: Of the boxes [b, n].
        upper: Of the boxes [b, n].
    """
    relaxed, last = relax(graph, lower, upper), len(graph.nodes) - 1
    eye = torch.eye(graph.output_size, dtype=torch.float64)
    return Enclosure(lower_bound(relaxed, last, eye), lower_bound(relaxed, last, -eye))


def _tightened(relaxed: Relaxed, index: int) -> Bounds:
    """Bounds of a node by intervals and by linear bounds, for those of its numbers that need it."""
    lower, upper = relaxed.bounds[index]
    readers = relaxed.graph.readers[index]
    gains = torch.stack([node.gains(lower, upper).any(0) for node in readers]).any(0)
    rows = (gains & ~relaxed.graph.repeats(index)).nonzero()[:, 0]
    if not len(rows):
        return lower, upper
    weights = torch.zeros(2 * len(rows), relaxed.graph.nodes[index].size, dtype=torch.float64)
    weights[torch.arange(len(rows)), rows] = 1.0
    weights[torch.arange(len(rows), 2 * len(rows)), rows] = -1.0
    least = lower_bound(relaxed, index, weights).least
    lower, upper = lower.clone(), upper.clone()
    # Where a linear bound is no number, as of an exponential beyond float64, that of the intervals stays.
    lower[:, rows] = torch.fmax(lower[:, rows], least[:, : len(rows)])
    upper[:, rows] = torch.fmin(upper[:, rows], -least[:, len(rows) :])
    return lower, upper


def lines_of(node: Node, given: list[Bounds]) -> tuple[Lines, ...]:
    """The lines of a nonlinear node from the bounds of its sources."""
    if isinstance(node, Elementwise):
        return (lines_with_slack(node, *given[0], node.function.lines(*given[0])),)
    if isinstance(node, Product):
        return mccormick(node, given)
    assert isinstance(node, Maximum), "all other nodes are affine"
    return (maximum_lines(node, *given[0]),)


def mccormick(node: Product, given: list[Bounds]) -> tuple[Lines, Lines]:
    """Planes below and above x y (McCormick 1976): of the two on each side the one that is tighter in the middle.

    (x - xl)(y - yl) >= 0 and (xu - x)(yu - y) >= 0 give  xl y + yl x - xl yl <= x y  and  xu y + yu x - xu yu <= x y;
    (x - xl)(yu - y) >= 0 and (xu - x)(y - yl) >= 0 give the two above. The offset stands with the lines of x.
    """
    (xl, xu), (yl, yu) = given
    x, y = (xl + xu) / 2, (yl + yu) / 2
    first = xl * y + yl * x - xl * yl >= xu * y + yu * x - xu * yu
    lower = torch.where(first, yl, yu), torch.where(first, xl, xu), torch.where(first, -xl * yl, -xu * yu)
    first = xu * y + yl * x - xu * yl <= xl * y + yu * x - xl * yu
    upper = torch.where(first, yl, yu), torch.where(first, xu, xl), torch.where(first, -xu * yl, -xl * yu)
    reach = torch.maximum(xl.abs(), xu.abs()) * torch.maximum(yl.abs(), yu.abs())
    slack = node.slack(given) + 6 * gamma(SPARE + node.size, DOUBLE) * reach
    zero = torch.zeros_like(reach)
    return Lines(lower[0], lower[2] - slack, upper[0], upper[2] + slack), Lines(lower[1], zero, upper[1], zero)


def maximum_lines(node: Maximum, lower: Tensor, upper: Tensor) -> Lines:
    """Of a group with bounds: it is at least the number with the highest lower bound, and at most

    that number where no other can exceed it, or else the highest upper bound. Slopes are [b, n, g], of the group's
    numbers.
    """
    low, high = lower[:, node.groups], upper[:, node.groups]
    slack = 8 * DOUBLE * torch.maximum(low.abs(), high.abs()).amax(2) * (SPARE + node.size) + TINY
    leader = torch.nn.functional.one_hot(low.argmax(2), low.shape[2]).to(low)
    rest = torch.where(leader > 0, -torch.inf, high).amax(2)
    leads = (low.amax(2) >= rest)[..., None].to(low)
    above = torch.where(leads[..., 0] > 0, 0.0, high.amax(2)) + slack
    return Lines(leader, -slack, leader * leads, above)


def lower_bound(
    relaxed: Relaxed,
    index: int,
    weights: Tensor,
    *,
    multipliers: Mapping[int, Tensor] | None = None,
    passing: dict[int, Tensor] | None = None,
) -> LinearBound:
    """Bound  weights @ node  from below by a linear function of the input.

    Args:
        relaxed: Bounds and lines of all nodes before.
        index: The node.
        weights: [m, n], or [b, m, n] for boxes that ask different things.
        multipliers: Node -> what is subtracted times the node, [b, n]. Where it is known that  multiplier * node >= 0
            this takes nothing from a bound, and by the best multipliers it gains (Wang et al. 2021, theorem 3.1).
        passing: Is filled with node -> the slopes [b, m, n] with which nonlinear nodes enter the bound.
    """
    graph = relaxed.graph
    offset = torch.zeros((), dtype=torch.float64)
    slopes: dict[int, Tensor] = {index: weights if weights.dim() == 3 else weights[None]}
    for i in range(index, 0, -1):
        if i not in slopes:
            continue
        slope, node = slopes.pop(i), graph.nodes[i]
        if multipliers and i in multipliers:
            slope = slope - multipliers[i][:, None]
        if isinstance(node, Affine):
            offset = offset + slope @ node.bias - _times(slope.abs(), relaxed.slacks[i])
            passed = [(j, slope @ weight) for j, weight in node.moved_by]
        else:
            if passing is not None:
                passing[i] = slope
            slopes_of, gained = _through(node, relaxed.lines[i], slope)
            passed, offset = list(zip(node.sources, slopes_of, strict=True)), offset + gained
        for j, one in passed:
            slopes[j] = slopes[j] + one if j in slopes else one
    return _at_input(relaxed, slopes.get(0), offset, weights.shape[-2])


def _through(node: Node, lines: tuple[Lines, ...], slope: Tensor) -> tuple[list[Tensor], Tensor]:
    """Pass slopes [b, m, n] through a nonlinear node; returns them for each source, and what the offset gains."""
    size = slope.abs()
    gained = torch.zeros((), dtype=torch.float64)
    passed = []
    for one in lines:
        middle = (one.lower_offset + one.upper_offset) / 2
        half = (one.upper_offset - one.lower_offset) / 2
        gained = gained + _times(slope, middle) - _times(size, half)
        if isinstance(node, Maximum):
            passed.append(_scattered(node, one, slope))
            continue
        mean, spread = (one.lower_slope + one.upper_slope) / 2, (one.upper_slope - one.lower_slope) / 2
        passed.append(torch.addcmul(slope * mean[:, None], size, spread[:, None], value=-1))
    return passed, gained


def _scattered(node: Maximum, lines: Lines, slope: Tensor) -> Tensor:
    """Slopes of the groups' numbers, added up where groups share them."""
    positive, negative = slope.clamp(min=0)[..., None], slope.clamp(max=0)[..., None]
    spread = positive * lines.lower_slope[:, None] + negative * lines.upper_slope[:, None]  # [b, m, n, g]
    out = torch.zeros(*spread.shape[:2], node.source_size, dtype=torch.float64)
    return out.index_add(2, node.groups.flatten(), spread.flatten(2))


def _at_input(relaxed: Relaxed, slope: Tensor | None, offset: Tensor, rows: int) -> LinearBound:
    """The least value over the boxes."""
    lower, upper = relaxed.bounds[0]
    if slope is None:
        slope = torch.zeros(1, rows, lower.shape[1], dtype=torch.float64)
    offset = offset.expand(len(lower), rows)
    center, radius = center_radius(lower, upper)
    reach = _times(slope.abs(), torch.maximum(lower.abs(), upper.abs()))
    error = 4 * gamma(SPARE + lower.shape[1], DOUBLE) * (reach + offset.abs())
    offset = offset - error
    least = _times(slope, center) - _times(slope.abs(), radius) + offset
    return LinearBound(slope, offset, least - error)


def _times(slope: Tensor, x: Tensor) -> Tensor:
    """Slopes [b or 1, m, n] times vectors [b, n]."""
    return (slope @ x[..., None])[..., 0] if len(slope) > 1 else x @ slope[0].T

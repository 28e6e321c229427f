"""Bounds of second order from the input on: Taylor models whose remainders are symbols (Makino and Berz 2003).

Linear bounds leave at every nonlinear number a gap of second order in the width of the box, and add these gaps up by
magnitudes, layer after layer. But the terms of second order are known functions of the input, which cancel in sums as
those of first order do: here every number is a `Quadratic`. An affine node multiplies all of its terms; only the rest
goes by magnitudes, and where several numbers read one it becomes a symbol first, so that it cancels, too. With d the
distance from the middle, a function is a parabola  v + s d + a d^2  up to a remainder of third order; of d^2 it keeps
L^2, and leaves

    |d^2 - L^2| = |d - L| |d + L| <= |Q + e| min(|d| + |L|, 2 |L| + |Q + e|)

A product keeps  L_x L_y,  and leaves  d_x d_y - L_x L_y = L_x (d_y - L_y) + (d_x - L_x) d_y,  or the same with x and y
exchanged. Where boxes are so wide that this is more than what two parallel lines leave, numbers pass through these.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from robolearn.verify.crown import Relaxed, lines_of
from robolearn.verify.forward import made_parallel
from robolearn.verify.graph import Affine, Bounds, Elementwise, Graph, Maximum, Node, Product
from robolearn.verify.quadratic_form import GROWN, Quadratic, has_width, quadratic_box
from robolearn.verify.relaxations.parabola import parabola
from robolearn.verify.relaxations.piecewise import PiecewiseLinear
from robolearn.verify.rounding import DOUBLE, SPARE, TINY, center_radius, gamma

MOST = 48  # numbers with a width; of more there would be thousands of pairs


def is_worthwhile(graph: Graph, lower: Tensor, upper: Tensor) -> bool:
    """Whether a network is curved, and boxes [b, n] have a width in some dimensions, but not in too many."""
    curved = (isinstance(node, Product) or _is_smooth(node) for node in graph.nodes)
    return any(curved) and 0 < int(has_width(lower, upper).sum()) <= MOST


def _is_smooth(node: Node) -> bool:
    return isinstance(node, Elementwise) and not isinstance(node.function, PiecewiseLinear)


def tightened(relaxed: Relaxed, lower: Tensor, upper: Tensor) -> Relaxed:
    """A graph over boxes [b, n] with these bounds, and lines that are as tight as they are.

    Linear bounds by these do not explode: what they leave as a gap does not widen the next lines.
    """
    bounds, _ = quadratic(relaxed, quadratic_box(lower, upper))
    nodes = relaxed.graph.nodes
    given = [[bounds[j] for j in node.sources] for node in nodes]
    lines = {i: lines_of(nodes[i], given[i]) for i in relaxed.lines}
    slacks = {i: node.slack(given[i]) for i, node in enumerate(nodes) if isinstance(node, Affine)}
    return replace(relaxed, bounds=bounds, lines=lines, slacks=slacks)


def quadratic(relaxed: Relaxed, start: Quadratic) -> tuple[list[Bounds], Quadratic]:
    """Bounds of every node, never looser than those that are known, and what the last node is.

    Args:
        relaxed: A graph with bounds that hold anyway.
        start: What its input is.
    """
    graph, walk = relaxed.graph, _Walk(start, relaxed.bounds[0])
    last_reader = _last_readers(graph)
    for i, node in enumerate(graph.nodes[1:], start=1):
        walk.bounds.append(_both(graph.interval(i, walk.bounds), relaxed.bounds[i]))
        if i in last_reader:
            walk.forms[i] = walk.form(node)
            walk.bounds[i] = _both(walk.bounds[i], walk.forms[i].bounds)
        for j in [j for j in walk.forms if last_reader.get(j, 0) <= i]:
            del walk.forms[j]
    return walk.bounds, walk.forms[len(graph.nodes) - 1]


def _last_readers(graph: Graph) -> dict[int, int]:
    """Node -> the last one that it moves, for those that move the output; others only have bounds, for errors."""
    end = len(graph.nodes)
    last = {end - 1: end}
    for i in range(end - 1, 0, -1):
        for j in _moving(graph.nodes[i]) if i in last else ():
            last.setdefault(j, i)
    return last


def _moving(node: Node) -> Iterable[int]:
    return [j for j, _ in node.moved_by] if isinstance(node, Affine) else node.sources


def _both(one: Bounds, other: Bounds) -> Bounds:
    """The tighter of both; what is no number is no bound."""
    return torch.fmax(one[0], other[0]), torch.fmin(one[1], other[1])


class _Walk:
    """From the input on.

    Attributes:
        forms: Nodes that are still read.
        bounds: Of all nodes so far.
        start: Of the input.
        columns: Terms that are taken.
    """

    def __init__(self, start: Quadratic, bounds: Bounds) -> None:
        self.start, self.columns = start, start.terms.shape[2]
        self.forms, self.bounds = {0: start}, [bounds]

    def form(self, node: Node) -> Quadratic:
        """Of the next node."""
        given = [self.bounds[j] for j in node.sources]
        if isinstance(node, Affine):
            return self.affine(node, node.slack(given))
        if isinstance(node, Maximum):
            center, radius = center_radius(*self.bounds[-1])
            return replace(self.start, terms=pad(center[..., None], (0, self.start.terms.shape[2] - 1)), rest=radius)
        forms = [self.forms[j] for j in node.sources]
        if isinstance(node, Product):
            return _product(node, (forms[0], forms[1]), (given[0], given[1]))
        assert isinstance(node, Elementwise), "there are no other nodes"
        return _function(node, forms[0], given[0])

    def affine(self, node: Affine, slack: Tensor) -> Quadratic:
        """W times the terms, the rest through the magnitudes of W, and what float64 rounds."""
        boxes = len(self.start.rest)
        terms, rest = node.bias[:, None].expand(boxes, -1, 1), slack.expand(boxes, -1)
        share = 4 * gamma(SPARE + sum(weight.shape[1] for weight in node.weights), DOUBLE)
        for j, weight in node.moved_by:
            if (weight != 0).sum(0).max() > 1:
                self.name_rest(j)
            form = self.forms[j]
            terms = _sum(terms, weight @ form.terms)
            rest = rest + (form.rest + share * form.size) @ weight.abs().T
        terms = pad(terms, (0, max(0, self.start.terms.shape[2] - terms.shape[2])))
        return replace(self.start, terms=terms, rest=rest)

    def name_rest(self, index: int) -> None:
        """Make the rest of each number of a node a symbol."""
        form = self.forms[index]
        if form.rest.any():
            symbols = pad(torch.diag_embed(form.rest), (self.columns - form.terms.shape[2], 0))
            terms = torch.cat([form.terms, symbols], 2)
            self.columns = terms.shape[2]
            self.forms[index] = replace(form, terms=terms, rest=torch.zeros_like(form.rest))


def _sum(x: Tensor, y: Tensor) -> Tensor:
    """Of terms; symbols that one of them has not are 0."""
    columns = max(x.shape[2], y.shape[2])
    return pad(x, (0, columns - x.shape[2])) + pad(y, (0, columns - y.shape[2]))


def _function(node: Elementwise, x: Quadratic, given: Bounds) -> Quadratic:
    """By a parabola, or where that leaves less between two parallel lines."""
    line = made_parallel(lines_of(node, [given])[0], given)
    half = (line.upper_offset - line.lower_offset) / 2
    near = parabola(node.function, x.middle, *given)
    whole, linear, beyond = x.deviation(given)
    squares = near.square.abs() * beyond * torch.minimum(whole + linear, 2 * linear + beyond)
    left = near.error + squares + node.slack(*given)
    curved = left < half
    slope = torch.where(curved, near.slope, line.lower_slope)
    value = torch.where(curved, near.value, slope * x.middle + (line.lower_offset + line.upper_offset) / 2)
    square = torch.where(curved, near.square, 0.0)
    terms = slope[..., None] * x.terms
    terms[..., 0] = value
    size = value.abs() + slope.abs() * x.size + square.abs() * x.linear.square()
    rounding = 32 * DOUBLE * (size + line.lower_offset.abs() + line.upper_offset.abs()) + TINY
    rest = slope.abs() * x.rest + torch.where(curved, left, half) * GROWN + rounding
    return Quadratic(terms, rest, x.pairs).with_products(square[..., None] * x.products(x))


def _product(node: Product, forms: tuple[Quadratic, Quadratic], given: tuple[Bounds, Bounds]) -> Quadratic:
    """By the product of what is linear, or where that leaves less by planes through the centers of the bounds."""
    x, y = forms
    (x_center, x_radius), (y_center, y_radius) = (center_radius(*bounds) for bounds in given)
    half = x_radius * y_radius
    (x_whole, x_linear, x_beyond), (y_whole, y_linear, y_beyond) = x.deviation(given[0]), y.deviation(given[1])
    left = torch.minimum(x_linear * y_beyond + x_beyond * y_whole, x_whole * y_beyond + x_beyond * y_linear)
    curved = left < half
    a, b = torch.where(curved, x.middle, x_center), torch.where(curved, y.middle, y_center)
    terms = _sum(b[..., None] * x.terms, a[..., None] * y.terms)
    terms[..., 0] -= a * b
    size = b.abs() * x.size + a.abs() * y.size + (a * b).abs() + x.linear * y.linear
    rest = b.abs() * x.rest + a.abs() * y.rest + torch.where(curved, left, half) * GROWN
    rest = rest + node.slack(given) + 32 * DOUBLE * size + TINY
    products = torch.where(curved[..., None], x.products(y), 0.0)
    return Quadratic(terms, rest, x.pairs).with_products(products)

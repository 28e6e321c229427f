"""Factors that a whole layer shares are multiplied behind the next matrix, not before it: W (r x) = r (W x).

Layer normalization divides all numbers x_i of a layer by one deviation, r = 1 / sigma. Planes around each product
r x_i leave a gap of about  |r - r0| |x_i - x_i0|,  and the next layer adds the gaps of all its sources up, by the
magnitudes of its weights. Behind the matrix there is one product for each of its outputs, and W x varies far less than
|W| |x| does: what the x_i have in common cancels in the sum. FiLM's factors y differ from number to number and are
multiplied first, (r x) y = r (x y).

In real numbers both orders are one function. What the network's own arithmetic rounds, in the order that it has, stays
as an error of what is computed, in terms of the nodes that were there; these have bounds, but nothing depends on them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from robolearn.verify.expression import Arithmetic, Expression, constant, identity
from robolearn.verify.graph import Affine, Graph, Node, Product

FEWER = 4  # times as many numbers as factors: then these are shared
REAL = Arithmetic(0.0)  # what is put together here is rounded by float64 alone


@dataclass(frozen=True, eq=False)
class Scaled:
    """A node that is, number by number,  r[groups] x.

    Attributes:
        x: A node.
        factors: The node of r.
        groups: Which of its numbers each number of x is multiplied with [n].
        unit: What the network rounds in multiplying, relative to the product.
    """

    x: int
    factors: int
    groups: Tensor
    unit: float


def factors_last(graph: Graph) -> Graph:
    """The same function with shared factors multiplied as late as they can be."""
    reordered = _Reordered(graph.readers.keys() | {len(graph.nodes) - 1})
    for index, node in enumerate(graph.nodes):
        reordered.append(index, node)
    return Graph(tuple(reordered.nodes))


class _Reordered:
    """A graph in the making.

    Args:
        read: Nodes that something nonlinear reads, and the output: what is to have tight bounds.

    Attributes:
        nodes: So far.
        moved: Node of the old graph -> the same one here.
        scaled: Nodes with a shared factor.
        sums: What affine nodes are that have such nodes among their sources, and that only affine nodes read.
    """

    def __init__(self, read: set[int]) -> None:
        self.read = read
        self.nodes: list[Node] = []
        self.moved: dict[int, int] = {}
        self.scaled: dict[int, Scaled] = {}
        self.sums: dict[int, Expression] = {}

    def append(self, old: int, node: Node) -> None:
        """Add the next node of the old graph, in its new order."""
        node = replace(node, sources=tuple(self.moved[source] for source in node.sources))
        whole = self.unfolded(node) if isinstance(node, Affine) else None
        if whole is not None and old in self.read:
            node = affine(self.ordered(whole), twin=self.add(node))
        self.moved[old] = self.add(node)
        if whole is not None and old not in self.read:
            self.sums[self.moved[old]] = whole
        if isinstance(node, Product):
            self.note(node, self.moved[old])

    def add(self, node: Node) -> int:
        """Returns its index."""
        self.nodes.append(node)
        return len(self.nodes) - 1

    def note(self, node: Product, index: int) -> None:
        """See whether a product has a shared factor: one of its own, or one of its sources'."""
        for x, y in (node.sources, node.sources[::-1]):
            groups = copied(self.nodes[y])
            if groups is not None:
                self.scaled[index] = Scaled(x, self.nodes[y].sources[0], groups, node.unit)
                return
            if x in self.scaled:
                inner = self.scaled[x]
                rest = self.add(Product(node.size, (inner.x, y), 0.0, torch.inf))
                self.scaled[index] = replace(inner, x=rest, unit=inner.unit + node.unit)
                return

    def unfolded(self, node: Affine) -> Expression | None:
        """A sum in terms of nodes with shared factors; None where there are none."""
        if self.scaled.keys().isdisjoint(node.sources) and self.sums.keys().isdisjoint(node.sources):
            return None
        whole = replace(constant(node.bias), bias_error=node.bias_error)
        for source, weight, error in zip(node.sources, node.weights, node.errors, strict=True):
            inner = self.sums.get(source) or identity(source, (weight.shape[1],))
            whole = REAL.add(whole, REAL.apply(inner, lambda x, weight=weight: weight @ x))
            whole = REAL.add(whole, rounding(source, error))
        return whole

    def ordered(self, whole: Expression) -> Expression:
        """A sum with its shared factors multiplied last."""
        factors = {self.scaled[node].factors for node in whole.weights if node in self.scaled}
        for one in sorted(factors):
            parts = {node: weight for node, weight in whole.weights.items() if self.has_factor(node, one)}
            shares = [weight.abs() @ one_hot(self.scaled[node].groups).double() for node, weight in parts.items()]
            share = torch.stack(shares).sum(0)
            if bool(((share > 0).sum(1) > 1).any()):
                continue  # a row that mixes several factors has none to take out
            whole = self.taken_out(whole, one, parts, share.argmax(1))
        return whole

    def has_factor(self, node: int, factors: int) -> bool:
        """Whether a node has this shared factor."""
        return node in self.scaled and self.scaled[node].factors == factors

    def taken_out(self, whole: Expression, factors: int, parts: dict[int, Tensor], groups: Tensor) -> Expression:
        """A sum with r (W x) in the place of  W (r x)."""
        size = len(whole.bias)
        total = constant(torch.zeros(size))
        for node, weight in parts.items():
            total = REAL.add(total, matrix(self.scaled[node].x, weight))
        spread = one_hot(groups, self.nodes[factors].size).double()
        pair = self.add(affine(total)), self.add(affine(matrix(factors, spread)))
        product = self.add(Product(size, pair, 0.0, torch.inf))
        weights = {
            node: torch.zeros_like(weight) if node in parts else weight for node, weight in whole.weights.items()
        }
        left = replace(whole, weights=weights)
        for node, weight in parts.items():
            # A product is off by its unit relative to what it should be, and so by little more relative to what it is.
            left = REAL.add(left, rounding(node, 2 * self.scaled[node].unit * weight.abs()))
        return REAL.add(left, identity(product, (size,)))


def affine(x: Expression, twin: int | None = None) -> Affine:
    """A node of an expression."""
    nodes = tuple(x.weights)
    weights, errors = (tuple(one[node] for node in nodes) for one in (x.weights, x.errors))
    return Affine(len(x.bias), nodes, weights, x.bias, errors, x.bias_error, twin)


def matrix(node: int, weight: Tensor) -> Expression:
    """A matrix times a node, without an error."""
    zeros = torch.zeros(len(weight), dtype=torch.float64)
    return Expression((len(weight),), {node: weight}, zeros, {node: torch.zeros_like(weight)}, zeros)


def rounding(node: int, error: Tensor) -> Expression:
    """Nothing, computed with an error that is relative to a node."""
    return replace(matrix(node, torch.zeros_like(error)), errors={node: error})


def copied(node: Node) -> Tensor | None:
    """Which number of its source each number of a node is, if it only repeats them; else None."""
    if not isinstance(node, Affine) or len(node.weights) != 1:
        return None
    (weight,), (error,) = node.weights, node.errors
    repeats = bool(((weight == 0) | (weight == 1)).all() and (weight.sum(1) == 1).all())
    exact = not (node.bias.any() or node.bias_error.any() or error.any())
    return weight.argmax(1) if repeats and exact and weight.shape[0] >= FEWER * weight.shape[1] else None

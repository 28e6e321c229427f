"""A network as verification sees it: numbers in vectors, and few kinds of operations between them.

    Input         the vector that the box is about
    Affine        a sum of matrices times earlier vectors, and a bias; whole chains of linear layers become one
    Elementwise   a function of each number
    Product       of two vectors, number by number
    Maximum       of groups of numbers

Values are float64 tensors [b, n], a row per box or sample. A node knows its own mathematics: its value, its interval,
and how a linear bound on its output becomes one on its sources.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from robolearn.verify.relaxations.function import Function, Lines
from robolearn.verify.rounding import DOUBLE, SPARE, TINY, gamma, widened

FLAT = 1e-12  # bounds that are nearer to each other gain nothing
Bounds = tuple[Tensor, Tensor]
"""Lower and upper, [b, n] each."""


@dataclass(frozen=True, eq=False)
class Node(ABC):
    """One vector of a graph.

    Attributes:
        size: Its numbers n.
        sources: Indices of the nodes that it is computed from, all earlier ones.
    """

    size: int
    sources: tuple[int, ...]

    @abstractmethod
    def value(self, given: Sequence[Tensor]) -> Tensor:
        """Its value from those of its sources, [b, n]."""

    @abstractmethod
    def interval(self, given: Sequence[Bounds]) -> Bounds:
        """Bounds from those of its sources, with what its own evaluation rounds."""

    def gains(self, lower: Tensor, upper: Tensor) -> Tensor:
        """Which numbers of a source with these bounds are worth tighter ones, bool [b, n]."""
        return upper - lower > FLAT * (1 + lower.abs())


@dataclass(frozen=True, eq=False)
class Input(Node):
    """What the box is about."""

    def value(self, given: Sequence[Tensor]) -> Tensor:
        """Not computed."""
        raise AssertionError("an input is given")

    def interval(self, given: Sequence[Bounds]) -> Bounds:
        """Not computed."""
        raise AssertionError("an input is given")


@dataclass(frozen=True, eq=False)
class Affine(Node):
    """sum_i W_i x_i + b.

    Attributes:
        weights: W_i [n, n_i], one for each source.
        bias: b [n].
        errors: E_i [n, n_i], not negative.
        bias_error: e [n], not negative. The network computes a vector that differs from this node's by at most
            sum_i E_i |x_i| + e in every number.
        twin: An earlier node of the same value, computed in another way: bounds of either hold for both.
    """

    weights: tuple[Tensor, ...]
    bias: Tensor
    errors: tuple[Tensor, ...]
    bias_error: Tensor
    twin: int | None = None

    def value(self, given: Sequence[Tensor]) -> Tensor:
        """The sum."""
        total = self.bias
        for weight, x in zip(self.weights, given, strict=True):
            total = total + x @ weight.T
        return total.expand(len(given[0]), -1) if given else total[None]

    @cached_property
    def moved_by(self) -> tuple[tuple[int, Tensor], ...]:
        """The sources whose matrices are not zero, which stand for an error alone, with these."""
        return tuple(pair for pair in zip(self.sources, self.weights, strict=True) if pair[1].any())

    @cached_property
    def magnitudes(self) -> tuple[Tensor, ...]:
        """|W_i|."""
        return tuple(weight.abs() for weight in self.weights)

    @cached_property
    def slack_weights(self) -> tuple[tuple[Tensor, ...], Tensor]:
        """E_i and e, with what float64 rounds in computing with W_i and b, forward and backward."""
        count = SPARE + self.size + sum(weight.shape[1] for weight in self.weights)
        share = 2 * gamma(count, DOUBLE)
        errors = zip(self.errors, self.magnitudes, strict=True)
        return tuple(error + share * size for error, size in errors), self.bias_error + share * self.bias.abs() + TINY

    def slack(self, given: Sequence[Bounds]) -> Tensor:
        """How far the computed vector can be from W x + b, [b, n], for x between its bounds."""
        weights, slack = self.slack_weights
        for weight, (lower, upper) in zip(weights, given, strict=True):
            slack = slack + torch.maximum(lower.abs(), upper.abs()) @ weight.T
        return slack * (1 + 1e-9)

    def interval(self, given: Sequence[Bounds]) -> Bounds:
        """W c + b -+ |W| r, with c and r the centers and radii of the sources."""
        center, radius = self.bias, self.slack(given)
        for weight, size, (lower, upper) in zip(self.weights, self.magnitudes, given, strict=True):
            center = center + ((lower + upper) / 2) @ weight.T
            radius = radius + ((upper - lower) / 2) @ size.T
        return center - radius, center + radius


@dataclass(frozen=True, eq=False)
class Elementwise(Node):
    """s(x), number by number.

    Attributes:
        function: s.
        unit: Unit roundoff of the network's arithmetic; 0 for real numbers.
    """

    function: Function
    unit: float

    def value(self, given: Sequence[Tensor]) -> Tensor:
        """s(x)."""
        return self.function(given[0])

    def gains(self, lower: Tensor, upper: Tensor) -> Tensor:
        """Where the function is no straight line."""
        return super().gains(lower, upper) & ~self.function.is_straight(lower, upper)

    def slack(self, lower: Tensor, upper: Tensor) -> Tensor | float:
        """How far the computed function can be from the true one."""
        return self.function.evaluation_error(lower, upper, self.unit) if self.unit else 0.0

    def interval(self, given: Sequence[Bounds]) -> Bounds:
        """That of the function."""
        return widened(*self.function.interval(*given[0]), self.slack(*given[0]))


@dataclass(frozen=True, eq=False)
class Product(Node):
    """x y, number by number.

    Attributes:
        unit: Unit roundoff of the network's arithmetic; 0 for real numbers.
        most: What no number of it exceeds in magnitude, where that is known otherwise.
    """

    unit: float
    most: float

    def value(self, given: Sequence[Tensor]) -> Tensor:
        """X y."""
        return given[0] * given[1]

    def slack(self, given: Sequence[Bounds]) -> Tensor:
        """What the product and bounds on it round."""
        (x_low, x_high), (y_low, y_high) = given
        reach = torch.maximum(x_low.abs(), x_high.abs()) * torch.maximum(y_low.abs(), y_high.abs())
        return (self.unit + 16 * DOUBLE) * reach + TINY

    def interval(self, given: Sequence[Bounds]) -> Bounds:
        """Of the four products of ends the least and the greatest."""
        (x_low, x_high), (y_low, y_high) = given
        ends = torch.stack([x_low * y_low, x_low * y_high, x_high * y_low, x_high * y_high])
        slack = self.slack(given)
        return (ends.amin(0) - slack).clamp(min=-self.most), (ends.amax(0) + slack).clamp(max=self.most)


@dataclass(frozen=True, eq=False)
class Maximum(Node):
    """The greatest number of each group.

    Attributes:
        groups: Indices into the source [n, g].
        source_size: Numbers of the source.
    """

    groups: Tensor
    source_size: int

    def value(self, given: Sequence[Tensor]) -> Tensor:
        """The maxima."""
        return given[0][:, self.groups].amax(2)

    def interval(self, given: Sequence[Bounds]) -> Bounds:
        """The maximum is monotone, and rounds nothing."""
        return given[0][0][:, self.groups].amax(2), given[0][1][:, self.groups].amax(2)


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in the order in which they can be computed; the first is the input, the last the output.

    graph = Graph((Input(2, ()), affine, relu, out))
    assert graph(torch.zeros(5, 2, dtype=torch.float64)).shape == (5, graph.output_size)
    """

    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        assert isinstance(self.nodes[0], Input), "the first node is the input"
        assert all(max(node.sources, default=-1) < i for i, node in enumerate(self.nodes)), "sources come first"

    @property
    def input_size(self) -> int:
        """Numbers of the input."""
        return self.nodes[0].size

    @property
    def output_size(self) -> int:
        """Numbers of the output."""
        return self.nodes[-1].size

    @cached_property
    def readers(self) -> dict[int, list[Node]]:
        """Node -> the nonlinear nodes that read it, whose lines are as tight as its bounds."""
        readers: dict[int, list[Node]] = {}
        for node in self.nodes:
            for source in () if isinstance(node, Affine) else node.sources:
                readers.setdefault(source, []).append(node)
        return readers

    def interval(self, index: int, bounds: Sequence[Bounds]) -> Bounds:
        """Bounds of a node by interval arithmetic, from those of all nodes before."""
        node = self.nodes[index]
        lower, upper = node.interval([bounds[i] for i in node.sources])
        if not isinstance(node, Affine) or node.twin is None:
            return lower, upper
        least, most = bounds[node.twin]
        return torch.fmax(lower, least), torch.fmin(upper, most)

    def repeats(self, index: int) -> Tensor:
        """Which numbers of an affine node are one function value each: linear bounds on these are no tighter, bool [n].

        What a line of the function is at least over the box is what it is at an end of the bounds of its argument, and
        the function itself is at least that there.
        """
        node = self.nodes[index]
        assert isinstance(node, Affine), "only affine nodes are bounded linearly"
        if len(node.moved_by) != 1 or not isinstance(self.nodes[node.moved_by[0][0]], Elementwise):
            return torch.zeros(node.size, dtype=torch.bool)
        return (node.moved_by[0][1] != 0).sum(1) <= 1

    def __call__(self, x: Tensor) -> Tensor:
        """The outputs [b, m] of inputs [b, n], in float64."""
        return self.values(x)[-1]

    def values(self, x: Tensor) -> list[Tensor]:
        """The values of all nodes."""
        values = [x.double()]
        for node in self.nodes[1:]:
            values.append(node.value([values[i] for i in node.sources]))
        return values

    def followed_by(self, weights: Tensor, bias: Tensor) -> Graph:
        """This network, then weights [k, m] times its output plus a bias [k], the rows of a property."""
        last = len(self.nodes) - 1
        zeros = (torch.zeros_like(weights),), torch.zeros_like(bias)
        rows = Affine(len(bias), (last,), (weights.double(),), bias.double(), *zeros)
        return Graph((*self.nodes, rows))


def lines_with_slack(node: Elementwise, lower: Tensor, upper: Tensor, lines: Lines) -> Lines:
    """Lines that also hold for what is computed of the function, and for what rounds in passing bounds through them."""
    reach = torch.maximum(lower.abs(), upper.abs())
    share = 2 * gamma(SPARE + node.size, DOUBLE)
    slope = torch.maximum(lines.lower_slope.abs(), lines.upper_slope.abs())
    offset = torch.maximum(lines.lower_offset.abs(), lines.upper_offset.abs())
    slack = node.slack(lower, upper) + share * (slope * reach + offset) + TINY
    return Lines(lines.lower_slope, lines.lower_offset - slack, lines.upper_slope, lines.upper_offset + slack)

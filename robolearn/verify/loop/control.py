"""What the network answers to a set of states: linear functions of what it reads, and how far it departs from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robolearn.errors import UserError
from robolearn.verify.crown import Relaxed, lower_bound, relax
from robolearn.verify.graph import Bounds, Elementwise, Graph, lines_with_slack
from robolearn.verify.loop.flow import as_models, to_array
from robolearn.verify.loop.system import ClosedLoop
from robolearn.verify.loop.taylor import TaylorModel, spare
from robolearn.verify.rounding import DOUBLE

Line = tuple[Tensor, Tensor]
"""A linear function of what a network reads: slope [b, m, n] and offset [b, m]."""


@dataclass(frozen=True)
class Inputs:
    """What a network reads, over sets of states: models without time, as arrays.

    Attributes:
        coefficients: [b, n, s], of each input's spatial monomials.
        radius: [b, n].
        squares: Int [q], monomials that lie between 0 and 1.
    """

    coefficients: Tensor
    radius: Tensor
    squares: Tensor

    def least(self, slope: Tensor, offset: Tensor) -> Tensor:
        """Below which no linear function  slope [b, m, n] x + offset [b, m]  of the inputs falls, [b, m].

        It is a function of the monomials, so that what the inputs have in common cancels.
        """
        values = slope @ self.coefficients
        constant, rest = values[..., 0] + offset, values[..., 1:]
        down = rest.abs().sum(-1) - values[..., self.squares].clamp(min=0).sum(-1)
        size = (slope.abs() @ self.coefficients.abs()).sum(-1) + offset.abs()
        rounded = 4 * (sum(self.coefficients.shape[1:]) + 8) * DOUBLE * size
        return constant - spare(down + (slope.abs() @ self.radius[..., None])[..., 0] + rounded)


def sampled(loop: ClosedLoop, states: Sequence[TaylorModel]) -> list[TaylorModel]:
    """The controls that the network gives for states at an instant, as models of the same symbols.

    The network's linear bounds over the inputs' box are a pair of functions. Their mean, applied to the models,
    keeps how a control depends on the state; the distance to the one that is farther away is its radius. Of two pairs,
    one of tight lines and one of parallel lines, each control takes the one that gives it the smaller radius.

    Raises:
        UserError: The loop reads another number of inputs than the network has.
    """
    models = as_models(loop.reads(to_array(states)), states[0])
    if len(models) != loop.controller.input_size:
        size = loop.controller.input_size
        raise UserError(f"the loop reads {len(models)} numbers of its state, {loop.controller.name} has {size} inputs")
    # What float32 makes of a number below its range, 1e-38, differs from it by less than 1e-40.
    models = [x.widened(loop.unit * (x.magnitude + x.radius) + (1e-40 if loop.unit else 0.0)) for x in models]
    coefficients = torch.stack([x.coefficients[..., 0] for x in models], 1)
    inputs = Inputs(coefficients, torch.stack([x.radius for x in models], 1), models[0].basis.squares)
    lower, upper = (torch.stack(ends, 1) for ends in zip(*(x.bounds() for x in models), strict=True))
    relaxed = relaxed_over(loop.graph, (lower, upper), inputs)
    tight, even = centered(relaxed, inputs), centered(parallel(relaxed), inputs)
    better = (even.above - even.below) < (tight.above - tight.below)
    slope = torch.where(better[..., None], even.slope, tight.slope)
    offset, below, above = (
        torch.where(better, getattr(even, name), getattr(tight, name)) for name in ("offset", "below", "above")
    )
    controls = []
    for row in range(slope.shape[1]):
        control = TaylorModel.interval(models[0].basis, below[:, row], above[:, row]) + offset[:, row]
        for column, x in enumerate(models):
            control = control + x * slope[:, row, column]
        controls.append(control)
    return controls


@dataclass(frozen=True)
class Centered:
    """below <= output - slope x - offset <= above, for all inputs x of a set.

    Attributes:
        slope: [b, m, n].
        offset: [b, m].
        below: [b, m].
        above: [b, m].
    """

    slope: Tensor
    offset: Tensor
    below: Tensor
    above: Tensor


def centered(relaxed: Relaxed, inputs: Inputs) -> Centered:
    """The mean of the linear bounds of a network's outputs, and how far the outputs depart from it."""
    (low, low_offset), (high, high_offset) = outputs(relaxed)
    slope, offset = (low + high) / 2, (low_offset + high_offset) / 2
    below = inputs.least(low - slope, low_offset - offset)
    return Centered(slope, offset, below, -inputs.least(slope - high, offset - high_offset))


def relaxed_over(graph: Graph, bounds: Bounds, inputs: Inputs) -> Relaxed:
    """A network over the box of its inputs, with preactivations that are bounded over the set of inputs.

    A set that the loop has made long and thin has far less preactivations than its box.
    """
    known: dict[int, Bounds] = {}
    for i in sorted(graph.readers):
        if i:
            (low, low_offset), (high, high_offset) = outputs(relax(Graph(graph.nodes[: i + 1]), *bounds, known=known))
            known[i] = inputs.least(low, low_offset), -inputs.least(-high, -high_offset)
    return relax(graph, *bounds, known=known)


def parallel(relaxed: Relaxed) -> Relaxed:
    """With two parallel lines about each elementwise function, of the slope of its chord.

    The best line below a ReLU is 0 or x; but the mean of such a line with the chord is up to twice as far from the
    function as the mean of two parallel lines.
    """
    lines = dict(relaxed.lines)
    for i in lines:
        node = relaxed.graph.nodes[i]
        if isinstance(node, Elementwise):
            lower, upper = relaxed.bounds[node.sources[0]]
            width = upper - lower
            chord = (node.function(upper) - node.function(lower)) / torch.where(width > 0, width, 1.0)
            lines[i] = (lines_with_slack(node, lower, upper, node.function.lines_of(lower, upper, chord, chord)),)
    return replace(relaxed, lines=lines)


def outputs(relaxed: Relaxed) -> tuple[Line, Line]:
    """Linear functions below and above the last node."""
    last = relaxed.graph.nodes[-1].size
    each = torch.eye(last, dtype=torch.float64)
    low, high = (lower_bound(relaxed, len(relaxed.graph.nodes) - 1, sign * each) for sign in (1, -1))
    shape = (len(relaxed.bounds[0][0]), -1, -1)
    return (low.slope.expand(shape), low.offset), (-high.slope.expand(shape), -high.offset)

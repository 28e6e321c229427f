"""The exact least margin of a small network, by a mixed-integer program (Tjeng et al. 2019): the searches' oracle.

A function of straight pieces is its first piece and a hinge at every knot k inside the bounds, h = max(x - k, 0), which
a binary z and the bounds l <= x <= u make linear:

    h >= 0,  h >= x - k,  h <= (u - k) z,  h <= x - k - (l - k) (1 - z)

Numbers are real ones, to the tolerances of HiGHS (1e-7 of a constraint, 1e-6 of a binary): an answer to compare with,
and no proof. Time grows with two to the number of knots that lie inside; some hundred of them take minutes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.optimize import milp
from scipy.sparse import coo_array
from torch import Tensor

from robolearn.errors import UserError
from robolearn.verify.crown import relax
from robolearn.verify.graph import Affine, Elementwise, Graph, Input
from robolearn.verify.property import Box, Halfspaces
from robolearn.verify.relaxations.piecewise import PiecewiseLinear


@dataclass(frozen=True, eq=False)
class Optimum:
    """What a program came to.

    Attributes:
        value: The least margin that was found; infinity without any.
        bound: No margin is below it, to the tolerances; equal to the value if the program was solved.
        x: The input that has it, [n]; None without any.
        is_solved: Whether that is the least one, and not only what the time allowed.
    """

    value: float
    bound: float
    x: Tensor | None
    is_solved: bool


def least_margin(graph: Graph, box: Box, unsafe: Halfspaces, *, seconds: float = 60.0) -> Optimum:
    """The least margin of a network's outputs to a set of unsafe ones, over a box.

        best = least_margin(graph, box, unsafe)
        is_violated = best.is_solved and best.value <= 0

    Args:
        graph: Of affine operations and functions of straight pieces.
        box: Of inputs.
        unsafe: At least one half-space; of a single one it is the least value of a linear function of the outputs.
        seconds: After which the best so far is returned.

    Raises:
        UserError: The network has other operations, or there is no half-space.
    """
    if not len(unsafe.offset):
        raise UserError("without a half-space there is no margin")
    program, first = _encoded(graph, box)
    margin = program.variables([-np.inf], [np.inf])
    for weights, offset in zip(unsafe.weights.tolist(), unsafe.offset.tolist(), strict=True):
        program.between({margin: 1.0} | {first[-1] + i: -weight for i, weight in enumerate(weights)}, offset, np.inf)
    return program.solved(margin, graph.input_size, seconds)


@dataclass
class Program:
    """Variables, and linear rows of them; the network's inputs are the first variables."""

    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    binary: list[int] = field(default_factory=list)
    rows: list[tuple[Mapping[int, float], float, float]] = field(default_factory=list)

    def variables(self, lower: Iterable[float], upper: Iterable[float], *, binary: bool = False) -> int:
        """Add variables between bounds; returns the index of the first."""
        first = len(self.lower)
        self.lower += lower
        self.upper += upper
        self.binary += [int(binary)] * (len(self.lower) - first)
        return first

    def between(self, factors: Mapping[int, float], least: float, most: float) -> None:
        """Add  least <= sum of factors times variables <= most."""
        self.rows.append((factors, least, most))

    def solved(self, goal: int, num_inputs: int, seconds: float) -> Optimum:
        """Make one variable as small as can be."""
        factors, least, most = (list(column) for column in zip(*self.rows, strict=True))
        row = np.repeat(np.arange(len(factors)), [len(one) for one in factors])
        entries = [value for one in factors for value in one.values()], (row, [i for one in factors for i in one])
        solution = milp(
            np.eye(1, len(self.lower), goal)[0],
            integrality=np.array(self.binary),
            bounds=(self.lower, self.upper),
            constraints=(coo_array(entries, (len(factors), len(self.lower))), least, most),
            options={"time_limit": seconds, "mip_rel_gap": 0.0},
        )
        assert solution.status in (0, 1), solution.message  # neither infeasible nor unbounded: it describes a network
        if solution.x is None:
            return Optimum(np.inf, -np.inf, None, False)
        bound = solution.fun if solution.mip_dual_bound is None else solution.mip_dual_bound
        x = np.clip(solution.x, self.lower, self.upper)[:num_inputs]  # which HiGHS keeps to its tolerance alone
        return Optimum(float(solution.fun), float(bound), torch.from_numpy(x), solution.status == 0)


def _encoded(graph: Graph, box: Box) -> tuple[Program, list[int]]:
    """A program whose variables are all numbers of a graph, and where each node's begin."""
    bounds = [(low[0], high[0]) for low, high in relax(graph, box.lower[None], box.upper[None]).bounds]
    program, first = Program(), []
    for node, (low, high) in zip(graph.nodes, bounds, strict=True):
        first.append(program.variables(low.tolist(), high.tolist()))
        if isinstance(node, Affine):
            _add_affine(program, node, first)
        elif isinstance(node, Elementwise) and isinstance(node.function, PiecewiseLinear):
            for i, (least, most) in enumerate(zip(*(end.tolist() for end in bounds[node.sources[0]]), strict=True)):
                _add_pieces(program, node.function, first[node.sources[0]] + i, first[-1] + i, (least, most))
        elif not isinstance(node, Input):
            kind = type(node.function if isinstance(node, Elementwise) else node).__name__
            raise UserError(f"an exact program knows sums and functions of straight pieces, and not {kind}")
    return program, first


def _add_affine(program: Program, node: Affine, first: list[int]) -> None:
    for i, bias in enumerate(node.bias.tolist()):
        factors = {first[-1] + i: 1.0}
        for source, weight in zip(node.sources, node.weights, strict=True):
            factors |= {first[source] + j: -factor for j, factor in enumerate(weight[i].tolist()) if factor}
        program.between(factors, bias, bias)


def _add_pieces(program: Program, function: PiecewiseLinear, x: int, y: int, ends: tuple[float, float]) -> None:
    """Say that y is the function of x: its first piece, and at each knot inside what the slope changes by."""
    low, high = ends
    knots = [knot for knot in function.knots if low < knot < high]
    points = torch.tensor([low, *knots, high], dtype=torch.float64)
    values = function(points)
    slopes = (values.diff() / points.diff()).tolist() if low < high else [0.0]
    changes = [before - after for before, after in itertools.pairwise(slopes)]
    hinges = [_add_hinge(program, x, knot, ends) for knot in knots]
    constant = float(values[0]) - slopes[0] * low
    program.between({y: 1.0, x: -slopes[0]} | dict(zip(hinges, changes, strict=True)), constant, constant)


def _add_hinge(program: Program, x: int, knot: float, ends: tuple[float, float]) -> int:
    below, above = ends[0] - knot, ends[1] - knot
    hinge = program.variables([0.0], [above])
    side = program.variables([0.0], [1.0], binary=True)
    program.between({hinge: 1.0, x: -1.0}, -knot, np.inf)
    program.between({hinge: -1.0, side: above}, 0.0, np.inf)
    program.between({hinge: -1.0, x: 1.0, side: below}, knot + below, np.inf)
    return hinge

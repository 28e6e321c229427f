"""Policies that draw one of finitely many codes, each with a chunk: which codes a box allows, and their chunks.

A code is drawn if its probability is at least a floor, or if none is more probable. With  D_kj <= l_j - l_k  over the
box for logits l, the probability  p_k = 1 / sum_j exp(l_j - l_k)  is at most  1 / sum_j exp(D_kj).

Logits and chunks follow from the same features, which are bounded once for all codes: what is linear in the features
becomes linear in the observation by the features' own relaxation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from robolearn.verify.crown import Relaxed, linear_bounds, lower_bound, relax
from robolearn.verify.forward import forward_bounds
from robolearn.verify.graph import Bounds, Graph
from robolearn.verify.lowering import lower
from robolearn.verify.relaxations.function import Lines
from robolearn.verify.rounding import DOUBLE, SINGLE, SPARE, center_radius, gamma


@dataclass(frozen=True)
class Linear:
    """f(x) is within gap of  middle + slope (x - center), for x in boxes around their centers.

    Attributes:
        slope: [b, m, n].
        middle: [b, m].
        gap: [b, m].
    """

    slope: Tensor
    middle: Tensor
    gap: Tensor


@dataclass(frozen=True, eq=False)
class Codes:
    """A policy of one observation and a code.

    Attributes:
        features: Observation [1, n] -> what logits and chunks are computed from [1, m].
        logits: Features -> logits of all codes [1, k], of the probabilities with which they are drawn.
        chunk: (features, code) -> chunk [1, t, a].
        size: n, numbers of the observation.
        floor: Codes of less probability are not drawn, the most probable one excepted.
    """

    features: Callable[[Tensor], Tensor]
    logits: Callable[[Tensor], Tensor]
    chunk: Callable[[Tensor, int], Tensor]
    size: int
    floor: float
    _heads: dict[int | None, Graph] = field(default_factory=dict)

    @cached_property
    def trunk(self) -> Graph:
        """The network from the observation to the features, as float32 evaluates it."""
        return lower(self.features, torch.zeros(1, self.size))

    def head(self, code: int | None) -> Graph:
        """The network from features to a code's chunk, or to the logits, as float32 evaluates them."""
        if code not in self._heads:
            network = self.logits if code is None else lambda x: self.chunk(x, code)
            self._heads[code] = lower(network, torch.zeros(1, self.trunk.output_size))
        return self._heads[code]

    def seen(self, low: Tensor, high: Tensor) -> Seen:
        """The policy's features over boxes of observations [b, n]."""
        low, high = low - SINGLE * low.abs() - 1e-30, high + SINGLE * high.abs() + 1e-30  # it gets them in float32
        relaxed = relax(self.trunk, low, high)
        return Seen(self, relaxed, forward_bounds(relaxed))


@dataclass(frozen=True)
class Seen:
    """A policy over boxes of observations.

    Attributes:
        codes: The policy.
        relaxed: Its network up to the features.
        bounds: Of the features, [b, m] each.
    """

    codes: Codes
    relaxed: Relaxed
    bounds: Bounds

    def __getitem__(self, rows: Tensor) -> Seen:
        """Some of the boxes."""
        lines = {
            i: tuple(Lines(*(_some(tensor, rows) for tensor in vars(one).values())) for one in lines)
            for i, lines in self.relaxed.lines.items()
        }
        bounds = [(_some(low, rows), _some(high, rows)) for low, high in self.relaxed.bounds]
        slacks = {i: _some(slack, rows) for i, slack in self.relaxed.slacks.items()}
        relaxed = replace(self.relaxed, bounds=bounds, lines=lines, slacks=slacks)
        return Seen(self.codes, relaxed, (self.bounds[0][rows], self.bounds[1][rows]))

    def allowed(self) -> Tensor:
        """Which codes may be drawn somewhere in the boxes, bool [b, k]."""
        below, above = self._linear(None)
        # l_j from below and -l_k from below: their sum is linear in x, with what both have in common canceled.
        slope, offset = below[0][:, None] + above[0][:, :, None], below[1][:, None] + above[1][:, :, None]
        center, radius = center_radius(*self.relaxed.bounds[0])
        middle, reach = (slope * center[:, None, None]).sum(3), (slope.abs() * radius[:, None, None]).sum(3)
        size = offset.abs() + (slope.abs() * (center.abs() + radius)[:, None, None]).sum(3)
        difference = middle - reach + offset - 8 * gamma(SPARE + center.shape[1], DOUBLE) * size
        difference.diagonal(dim1=1, dim2=2).zero_()
        most = 1 / difference.exp().sum(2)
        close = 4 * gamma(SPARE + most.shape[1], SINGLE)  # what float32 rounds in a softmax, relative
        return (most >= self.codes.floor * (1 - close)) | (difference <= close).all(2)

    def chunk(self, code: int) -> Linear:
        """The chunk of a code over the boxes, flattened [b, t a]: the mean of its bounds and half of their distance."""
        below, above = self._linear(code)
        center, radius = center_radius(*self.relaxed.bounds[0])
        least, most = _at(below[0], center) + below[1], -(_at(above[0], center) + above[1])
        slope, apart = (below[0] - above[0]) / 2, _at(((below[0] + above[0]) / 2).abs(), radius)
        size = least.abs() + most.abs() + _at(slope.abs(), radius + center.abs())
        rounding = 8 * gamma(SPARE + center.shape[1], DOUBLE) * size
        return Linear(slope, (least + most) / 2, (most - least) / 2 + apart + rounding)

    def _linear(self, code: int | None) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Slope [b, m, n] and offset [b, m] in the observation that bound a head, and its negative, from below."""
        head = linear_bounds(self.codes.head(code), *self.bounds)
        last = len(self.relaxed.graph.nodes) - 1

        def through(slope: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
            bound = lower_bound(self.relaxed, last, slope.expand(len(self.bounds[0]), -1, -1))
            return bound.slope, bound.offset + offset

        return through(head.lower.slope, head.lower.offset), through(head.upper.slope, head.upper.offset)


def _some(tensor: Tensor, rows: Tensor) -> Tensor:
    """Rows of what there is one of per box; what is the same for all boxes may have one."""
    return tensor[rows] if len(tensor) > 1 else tensor


def _at(slope: Tensor, x: Tensor) -> Tensor:
    return (slope * x[:, None]).sum(2)

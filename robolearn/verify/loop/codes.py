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

from robolearn.verify.crown import Relaxed, lower_bound, relax
from robolearn.verify.forward import Form, box_form, forward, parallel
from robolearn.verify.graph import Graph
from robolearn.verify.lowering import lower
from robolearn.verify.quadratic import is_worthwhile, tightened
from robolearn.verify.relaxations.function import Lines
from robolearn.verify.rounding import DOUBLE, SINGLE, SPARE, TINY, center_radius, gamma


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

    def seen(self, low: Tensor, high: Tensor, *, second_order: bool = False) -> Seen:
        """The policy's features over boxes of observations [b, n].

        Args:
            low: Of the boxes.
            high: Of the boxes.
            second_order: Tighten what is relaxed by terms of second order, for the price of some MiB a box.
        """
        low, high = low - SINGLE * low.abs() - 1e-30, high + SINGLE * high.abs() + 1e-30  # it gets them in float32
        relaxed = relax(self.trunk, low, high)
        if second_order and is_worthwhile(self.trunk, low, high):
            relaxed = tightened(relaxed, low, high)
        relaxed = parallel(relaxed)
        return Seen(self, relaxed, forward(relaxed, box_form(low, high)))


@dataclass(frozen=True)
class Seen:
    """A policy over boxes of observations.

    Attributes:
        codes: The policy.
        relaxed: Its network up to the features, with parallel lines.
        features: Of the boxes' observations.
    """

    codes: Codes
    relaxed: Relaxed
    features: Form

    def __getitem__(self, rows: Tensor) -> Seen:
        """Some of the boxes."""
        lines = {
            i: tuple(Lines(*(_some(tensor, rows) for tensor in vars(one).values())) for one in lines)
            for i, lines in self.relaxed.lines.items()
        }
        bounds = [(_some(low, rows), _some(high, rows)) for low, high in self.relaxed.bounds]
        slacks = {i: _some(slack, rows) for i, slack in self.relaxed.slacks.items()}
        relaxed = replace(self.relaxed, bounds=bounds, lines=lines, slacks=slacks)
        form = self.features
        return Seen(self.codes, relaxed, Form(form.slope[rows], form.middle[rows], form.gap[rows], form.radius[rows]))

    def allowed(self) -> Tensor:
        """Which codes may be drawn somewhere in the boxes, bool [b, k]."""
        return self.probabilities() > 0

    def probabilities(self) -> Tensor:
        """With what each code is drawn at most [b, k]: 0 where it never is, and more where others never are.

        A code is left out where that is shown: of bounds that are no numbers nothing is, and it is drawn with 1.
        """
        logits = self.head(None)
        # Of l_j - l_k what both have in common cancels.
        slope = logits.slope[:, None] - logits.slope[:, :, None]
        reach = (slope.abs() * logits.radius[:, None, None]).sum(3) + logits.gap[:, None] + logits.gap[:, :, None]
        rounding = 8 * gamma(SPARE + slope.shape[3], DOUBLE) * (logits.size[:, None] + logits.size[:, :, None])
        difference = logits.middle[:, None] - logits.middle[:, :, None] - reach - rounding
        difference.diagonal(dim1=1, dim2=2).zero_()
        most = 1 / difference.exp().sum(2)
        close = 4 * gamma(SPARE + most.shape[1], SINGLE)  # what float32 rounds in a softmax, relative
        never = (most < self.codes.floor * (1 - close)) & (difference > close).any(2)
        left_out = most.clamp(max=self.codes.floor).sum(1, keepdim=True)  # the others share what these would have had
        drawn = most * (1 + close) / (1 - left_out * (1 + close)).clamp(min=TINY)
        return torch.where(never, 0.0, drawn.nan_to_num(nan=1.0).clamp(TINY, 1.0))

    def head(self, code: int | None) -> Form:
        """A code's chunk, flattened [b, t a], or the logits [b, k], as forms of the observation.

        Slopes and gaps are those of CROWN, back to the observation; between its two bounds, which are parallel, lies
        what the middle lines of all nodes give for the center.
        """
        head = self.codes.head(code)
        relaxed = parallel(relax(head, *self.features.within(self.relaxed.bounds[-1])))
        rows = torch.eye(head.output_size, dtype=torch.float64)
        near = lower_bound(relaxed, len(head.nodes) - 1, rows)
        slope = near.slope.expand(len(self.features.middle), -1, -1)
        far = lower_bound(self.relaxed, len(self.relaxed.graph.nodes) - 1, slope)
        form, (center, radius) = forward(relaxed, self.features), center_radius(*self.relaxed.bounds[0])
        least = (far.slope * center[:, None]).sum(2) + near.offset + far.offset
        size = form.size + least.abs() + (far.slope.abs() * (center.abs() + radius)[:, None]).sum(2)
        rounding = 16 * gamma(SPARE + head.input_size, DOUBLE) * size
        return Form(far.slope, form.middle, form.middle - least + rounding, radius)


def _some(tensor: Tensor, rows: Tensor) -> Tensor:
    """Rows of what there is one of per box; what is the same for all boxes may have one."""
    return tensor[rows] if len(tensor) > 1 else tensor

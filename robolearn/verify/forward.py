"""Linear bounds from the input on: cheap where a network has few inputs and many outputs, and looser than CROWN.

Every node's values are written as  middle + slope (x - center), up to a gap. An affine node passes gaps on by the
magnitudes of its matrices; a nonlinear one takes the mean of its two lines as slope, and what they are apart as gap.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robolearn.verify.crown import Relaxed
from robolearn.verify.graph import Affine, Bounds, Maximum
from robolearn.verify.relaxations.function import Lines
from robolearn.verify.rounding import DOUBLE, SPARE, TINY, center_radius, gamma


@dataclass(frozen=True)
class Form:
    """Numbers within gap of  middle + slope (x - center),  for x in boxes around their centers.

    Attributes:
        slope: [b, m, n].
        middle: [b, m].
        gap: [b, m].
        radius: Of the boxes [b, n].
    """

    slope: Tensor
    middle: Tensor
    gap: Tensor
    radius: Tensor

    @property
    def reach(self) -> Tensor:
        """How far the numbers can be from the middle [b, m]."""
        return self.gap + (self.slope.abs() * self.radius[:, None]).sum(2)

    @property
    def size(self) -> Tensor:
        """What no number exceeds in magnitude, nor what it is a sum of [b, m]."""
        return self.middle.abs() + self.reach


def forward_bounds(relaxed: Relaxed) -> Bounds:
    """Bounds [b, m] of the last node of a network that is relaxed."""
    center, radius = center_radius(*relaxed.bounds[0])
    slope = torch.eye(center.shape[1], dtype=torch.float64).expand(len(center), -1, -1)
    forms = [Form(slope, center, torch.zeros_like(center), radius)]
    for i, node in enumerate(relaxed.graph.nodes[1:], start=1):
        given = [forms[j] for j in node.sources]
        if isinstance(node, Affine):
            forms.append(_affine(node, given, relaxed.slacks[i]))
        elif isinstance(node, Maximum):
            forms.append(_interval(relaxed.bounds[i], radius))
        else:
            bounds = [relaxed.bounds[j] for j in node.sources]
            parts = [_through(*one) for one in zip(relaxed.lines[i], given, bounds, strict=True)]
            forms.append(_joined(parts))
    last, (lower, upper) = forms[-1], relaxed.bounds[-1]
    reach = last.reach + 4 * gamma(SPARE + center.shape[1], DOUBLE) * last.size + TINY
    return torch.maximum(lower, last.middle - reach), torch.minimum(upper, last.middle + reach)


def _affine(node: Affine, given: list[Form], slack: Tensor) -> Form:
    """W (m + S d) + b, a gap through the magnitudes of W, and what float64 rounds in W m and W S."""
    slope, middle, gap = torch.zeros((), dtype=torch.float64), node.bias, slack
    share = 4 * gamma(SPARE + sum(weight.shape[1] for weight in node.weights), DOUBLE)
    for weight, size, form in zip(node.weights, node.magnitudes, given, strict=True):
        slope, middle = slope + weight @ form.slope, middle + form.middle @ weight.T
        gap = gap + (form.gap + share * form.size) @ size.T
    return Form(slope, middle, gap, given[0].radius)


def _interval(bounds: Bounds, radius: Tensor) -> Form:
    """What is known by its interval alone."""
    middle, gap = center_radius(*bounds)
    return Form(torch.zeros(*middle.shape, radius.shape[1], dtype=torch.float64), middle, gap, radius)


def _through(lines: Lines, given: Form, bounds: Bounds) -> Form:
    """With  a = (al + au) / 2  and  h = (au - al) / 2,  s(x) - a x  is from  bl - h x  to  bu + h x."""
    mean, half = (lines.lower_slope + lines.upper_slope) / 2, (lines.upper_slope - lines.lower_slope) / 2
    most = torch.maximum(half * bounds[0], half * bounds[1])
    below, above = lines.lower_offset - most, lines.upper_offset + most
    rounding = 32 * DOUBLE * (mean.abs() * given.size + most.abs() + below.abs() + above.abs())
    middle, gap = mean * given.middle + (below + above) / 2, mean.abs() * given.gap + (above - below) / 2 + rounding
    return Form(mean[..., None] * given.slope, middle, gap, given.radius)


def _joined(parts: list[Form]) -> Form:
    """What a node of several sources is: the sum of what each contributes."""
    slope, middle, gap, size = (
        torch.stack([getattr(part, name) for part in parts]).sum(0) for name in ("slope", "middle", "gap", "size")
    )
    return Form(slope, middle, gap + 8 * DOUBLE * size, parts[0].radius)

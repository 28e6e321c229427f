"""Linear bounds from the input on: cheap where a network has few inputs and many outputs, and looser than CROWN.

Every node's values are written as  middle + slope (x - center), up to a gap. An affine node passes gaps on by the
magnitudes of its matrices; a nonlinear one takes the mean slope of its two lines, and what they are apart as gap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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

    def within(self, bounds: Bounds) -> Bounds:
        """Bounds of the numbers, that hold anyway, made tighter [b, m]."""
        reach = self.reach + 4 * gamma(SPARE + self.radius.shape[1], DOUBLE) * self.size + TINY
        return torch.maximum(bounds[0], self.middle - reach), torch.minimum(bounds[1], self.middle + reach)


def box_form(lower: Tensor, upper: Tensor) -> Form:
    """Boxes [b, n] themselves."""
    center, radius = center_radius(lower, upper)
    slope = torch.eye(center.shape[1], dtype=torch.float64).expand(len(center), -1, -1)
    return Form(slope, center, torch.zeros_like(center), radius)


def parallel(relaxed: Relaxed) -> Relaxed:
    """With one slope for both lines of each number, the mean of theirs: then both bounds of an output have one too.

    With  a = (al + au) / 2  and  h = (au - al) / 2,  s(x) - a x  is from  bl - h x  to  bu + h x.
    """
    lines = dict(relaxed.lines)
    for i, given in relaxed.lines.items():
        node = relaxed.graph.nodes[i]
        if not isinstance(node, Maximum):
            bounds = (relaxed.bounds[j] for j in node.sources)
            lines[i] = tuple(made_parallel(*one) for one in zip(given, bounds, strict=True))
    return replace(relaxed, lines=lines)


def made_parallel(lines: Lines, bounds: Bounds) -> Lines:
    """Lines of a function with the mean of their slopes, over bounds of its argument."""
    mean, half = (lines.lower_slope + lines.upper_slope) / 2, (lines.upper_slope - lines.lower_slope) / 2
    most = torch.maximum(half * bounds[0], half * bounds[1])
    rounding = 16 * DOUBLE * (mean.abs() * torch.maximum(bounds[0].abs(), bounds[1].abs()) + most.abs())
    return Lines(mean, lines.lower_offset - most - rounding, mean, lines.upper_offset + most + rounding)


def forward(relaxed: Relaxed, start: Form) -> Form:
    """The last node of a network that is relaxed with parallel lines, from the form of its input."""
    forms, radius = [start], start.radius
    for i, node in enumerate(relaxed.graph.nodes[1:], start=1):
        given = [forms[j] for j in node.sources]
        if isinstance(node, Affine):
            forms.append(_affine(node, given, relaxed.slacks[i]))
        elif isinstance(node, Maximum):
            forms.append(_interval(relaxed.bounds[i], radius))
        else:
            forms.append(_joined([_through(*one) for one in zip(relaxed.lines[i], given, strict=True)]))
    return forms[-1]


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


def _through(lines: Lines, given: Form) -> Form:
    """Through two parallel lines: their slope, what is in the middle between them, and half of their distance."""
    mean, below, above = lines.lower_slope, lines.lower_offset, lines.upper_offset
    rounding = 32 * DOUBLE * (mean.abs() * given.size + below.abs() + above.abs())
    middle, gap = mean * given.middle + (below + above) / 2, mean.abs() * given.gap + (above - below) / 2 + rounding
    return Form(mean[..., None] * given.slope, middle, gap, given.radius)


def _joined(parts: list[Form]) -> Form:
    """What a node of several sources is: the sum of what each contributes."""
    slope, middle, gap, size = (
        torch.stack([getattr(part, name) for part in parts]).sum(0) for name in ("slope", "middle", "gap", "size")
    )
    return Form(slope, middle, gap + 8 * DOUBLE * size, parts[0].radius)

"""Linear bounds from the input on: cheap where a network has few inputs and many outputs, and looser than CROWN.

Every node's values are written as  middle + slope (x - center), up to a gap. An affine node passes gaps on by the
magnitudes of its matrices; a nonlinear one takes the mean of its two lines as slope, and what they are apart as gap.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robolearn.verify.crown import Relaxed
from robolearn.verify.graph import Affine, Bounds, Maximum
from robolearn.verify.relaxations.function import Lines
from robolearn.verify.rounding import DOUBLE, SPARE, TINY, center_radius, gamma


def forward_bounds(relaxed: Relaxed) -> Bounds:
    """Bounds [b, m] of the last node of a network that is relaxed."""
    center, radius = center_radius(*relaxed.bounds[0])
    eye = torch.eye(center.shape[1], dtype=torch.float64)
    forms = [(eye.expand(len(center), -1, -1), center, torch.zeros_like(center))]
    for i, node in enumerate(relaxed.graph.nodes[1:], start=1):
        given = [forms[j] for j in node.sources]
        if isinstance(node, Affine):
            forms.append(_affine(node, given, relaxed.slacks[i]))
        elif isinstance(node, Maximum):
            forms.append(_interval(relaxed.bounds[i], center.shape[1]))
        else:
            sources = zip(relaxed.lines[i], given, (relaxed.bounds[j] for j in node.sources), strict=True)
            slope, middle, gap = (
                torch.stack(parts).sum(0) for parts in zip(*(_through(*one) for one in sources), strict=True)
            )
            forms.append((slope, middle, gap))
    slope, middle, gap = forms[-1]
    reach = gap + (slope.abs() * radius[:, None]).sum(2)
    reach = reach + 4 * gamma(SPARE + center.shape[1], DOUBLE) * (reach + middle.abs()) + TINY
    lower, upper = relaxed.bounds[-1]
    return torch.maximum(lower, middle - reach), torch.minimum(upper, middle + reach)


Form = tuple[Tensor, Tensor, Tensor]  # slope [b, m, n], middle and gap [b, m]


def _affine(node: Affine, given: list[Form], slack: Tensor) -> Form:
    slope, middle, gap = torch.zeros((), dtype=torch.float64), node.bias, 2 * slack
    for weight, size, (one, at, apart) in zip(node.weights, node.magnitudes, given, strict=True):
        slope, middle, gap = slope + weight @ one, middle + at @ weight.T, gap + apart @ size.T
    return slope, middle, gap


def _interval(bounds: Bounds, size: int) -> Form:
    """What is known by its interval alone."""
    middle, gap = center_radius(*bounds)
    return torch.zeros(*middle.shape, size, dtype=torch.float64), middle, gap


def _through(lines: Lines, given: Form, bounds: Bounds) -> Form:
    """With  a = (al + au) / 2  and  h = (au - al) / 2,  s(x) - a x  is from  bl - h x  to  bu + h x."""
    (slope, middle, gap), (low, high) = given, bounds
    mean, half = (lines.lower_slope + lines.upper_slope) / 2, (lines.upper_slope - lines.lower_slope) / 2
    most = torch.maximum(half * low, half * high)
    below, above = lines.lower_offset - most, lines.upper_offset + most
    rounding = 16 * DOUBLE * (mean.abs() * torch.maximum(low.abs(), high.abs()) + below.abs() + above.abs())
    return (
        mean[..., None] * slope,
        mean * middle + (below + above) / 2,
        mean.abs() * gap + (above - below) / 2 + rounding,
    )

"""Slopes and multipliers chosen by gradient: alpha-CROWN (Xu et al. 2021) and beta-CROWN (Wang et al. 2021).

Any slopes make sound bounds, as offsets are computed from them, and any multipliers do where the signs of what they
multiply are known; the best are found by ascending the bound itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from robolearn.verify.crown import LinearBound, Relaxed, lower_bound
from robolearn.verify.graph import Elementwise, lines_with_slack

STEPS, RATE, DECAY = 20, 0.1, 0.97  # of Adam, on slopes in units of the function's own


def optimized_bound(
    relaxed: Relaxed, weights: Tensor, *, sides: Mapping[int, Tensor] | None = None, steps: int = STEPS
) -> tuple[LinearBound, dict[int, Tensor]]:
    """The best bounds from below that a few steps find on  weights @ output, never worse than those without.

    Every row gets slopes of its own.

    Args:
        relaxed: A graph over boxes.
        weights: [m, n].
        sides: Node -> 1 where its number is known not to be negative, -1 where not to be positive, else 0, [b, n].
        steps: Of the ascent.

    Returns:
        The bounds, and the slopes with which nonlinear nodes enter them, [b m, 1, n].
    """
    rows, last = len(weights), len(relaxed.graph.nodes) - 1
    each = repeated(relaxed, rows)
    own = weights.repeat(len(relaxed.empty), 1)[:, None]
    choice = Choice(each, {i: side.repeat_interleave(rows, 0) for i, side in (sides or {}).items()})
    passing: dict[int, Tensor] = {}
    best = lower_bound(each, last, own, passing=passing)
    optimizer = torch.optim.Adam(choice.free, lr=RATE)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, DECAY)
    for _ in range(steps):
        bound = lower_bound(choice.relaxed, last, own, multipliers=choice.multipliers)
        best = _better(best, bound)
        optimizer.zero_grad()
        (-bound.least.nan_to_num(0.0).sum()).backward()
        optimizer.step()
        schedule.step()
        choice.project()
    return _joined(best, rows), passing


class Choice:
    """Slopes of the nonlinear nodes, and multipliers of what is on a known side.

    Args:
        relaxed: A graph over boxes, whose lines are the first choice.
        sides: See `optimized_bound`.
    """

    def __init__(self, relaxed: Relaxed, sides: Mapping[int, Tensor]) -> None:
        lines = {i: one for i, (one, *_) in relaxed.lines.items() if isinstance(relaxed.graph.nodes[i], Elementwise)}
        self._start, self._sides = relaxed, sides
        self._slopes = {i: torch.stack([line.lower_slope, line.upper_slope]) for i, line in lines.items()}
        self._spans = {i: _span(relaxed, i) for i in lines}
        self._sizes = {i: torch.zeros_like(side) for i, side in sides.items()}
        self.free = [tensor.requires_grad_() for tensor in (*self._slopes.values(), *self._sizes.values())]

    @property
    def multipliers(self) -> dict[int, Tensor]:
        """Not negative where a number is not, and not positive where it is not."""
        return {i: size * self._sides[i] for i, size in self._sizes.items()}

    @property
    def relaxed(self) -> Relaxed:
        """The graph with lines of the chosen slopes."""
        lines = dict(self._start.lines)
        for i, (low, high) in self._slopes.items():
            node, lower, upper = _function_of(self._start, i)
            chosen = node.function.lines_of(lower, upper, low, high)
            lines[i] = (lines_with_slack(node, lower, upper, chosen),)
        return replace(self._start, lines=lines)

    @torch.no_grad()
    def project(self) -> None:
        """Bring what a step moved back to where it may be."""
        for i, slope in self._slopes.items():
            slope.clamp_(*self._spans[i])
        for size in self._sizes.values():
            size.clamp_(min=0)


def repeated(relaxed: Relaxed, times: int) -> Relaxed:
    """Every box so many times, one behind the other."""

    def more(x: Tensor) -> Tensor:
        return x.repeat_interleave(times, 0)

    return Relaxed(
        relaxed.graph,
        [(more(low), more(high)) for low, high in relaxed.bounds],
        {i: tuple(type(line)(*map(more, vars(line).values())) for line in lines) for i, lines in relaxed.lines.items()},
        {i: more(slack) for i, slack in relaxed.slacks.items()},
        more(relaxed.empty),
    )


def _function_of(relaxed: Relaxed, index: int) -> tuple[Elementwise, Tensor, Tensor]:
    """A function of each number, and the bounds of its argument."""
    node = relaxed.graph.nodes[index]
    assert isinstance(node, Elementwise), "only functions of one number have slopes to choose"
    return node, *relaxed.bounds[node.sources[0]]


def _span(relaxed: Relaxed, index: int) -> tuple[Tensor, Tensor]:
    """Between which slopes the best ones of a function are: those of its lines, and of its chords."""
    node, lower, upper = _function_of(relaxed, index)
    points = node.function.points(*node.function.domain(lower, upper))
    values = node.function(points)
    run = points.diff(dim=0)
    chords = torch.where(run > 1e-9, values.diff(dim=0) / run.clamp(min=1e-9), torch.nan)
    line = relaxed.lines[index][0]
    known = torch.cat([chords, line.lower_slope[None], line.upper_slope[None]])
    least, most = known.nan_to_num(torch.inf).amin(0), known.nan_to_num(-torch.inf).amax(0)
    return least, most


def _better(best: LinearBound, bound: LinearBound) -> LinearBound:
    """For each box the bound that is higher."""
    higher = bound.least.detach() > best.least
    slope = torch.where(higher[:, :, None], bound.slope.detach(), best.slope)
    offset = torch.where(higher, bound.offset.detach(), best.offset)
    return LinearBound(slope, offset, torch.where(higher, bound.least.detach(), best.least))


def _joined(bound: LinearBound, rows: int) -> LinearBound:
    """Rows of one box side by side again."""
    slope = bound.slope.expand(len(bound.least), -1, -1)
    return LinearBound(*(x.reshape(-1, rows, *x.shape[2:]) for x in (slope, bound.offset, bound.least)))

"""Reachable tubes of many boxes of initial states at once."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from robolearn.errors import UserError
from robolearn.verify.loop.basis import Basis
from robolearn.verify.loop.control import sampled
from robolearn.verify.loop.flow import derivatives
from robolearn.verify.loop.segment import follow, margin_bounds
from robolearn.verify.loop.symbols import absorbed, initial_states
from robolearn.verify.loop.system import ClosedLoop, Requirement

HALVINGS = 5


@dataclass(frozen=True)
class Effort:
    """How much an enclosure keeps; any choice is sound.

    Attributes:
        order: Degree in the initial states, at least 1.
        degree: Highest power of time within a step, at least 1.
        symbols: Error symbols per state and control, at least 2.
        steps: Steps per period of the controller, a power of two; they are halved further where it is needed.
    """

    order: int = 2
    degree: int = 4
    symbols: int = 5
    steps: int = 1

    def __post_init__(self) -> None:
        for name, least in (("order", 1), ("degree", 1), ("symbols", 2), ("steps", 1)):
            if getattr(self, name) < least:
                raise UserError(f"`{name}` {getattr(self, name)} is below {least}")
        if self.steps & (self.steps - 1):  # so that a step is the period's share exactly
            raise UserError(f"`steps` {self.steps} is not a power of two")


@dataclass(frozen=True, eq=False)
class Tubes:
    """Sets that hold all trajectories of their boxes, step by step.

    Attributes:
        lower: [b, s, n], of all states at all times of a step; -inf in steps that were not reached.
        upper: The same; inf.
        reached: Int [b], through how many steps the box came with every requirement shown.
        margin: [b], the least that was shown of any requirement up to there; -inf if a step has no enclosure.
        ceiling: [b], the least upper bound of a requirement at an instant: below 0 it is violated from every state.
        influence: [b, n], how much of the last set's size is due to each dimension of the box.
    """

    lower: Tensor
    upper: Tensor
    reached: Tensor
    margin: Tensor
    ceiling: Tensor
    influence: Tensor

    @classmethod
    def unknown(cls, lower: Tensor, upper: Tensor, steps: int) -> Tubes:
        """Of boxes [b, n] of which nothing has been shown."""
        count, size = lower.shape
        inf = torch.full((count, steps, size), torch.inf, dtype=torch.float64)
        none = torch.full((count,), torch.inf, dtype=torch.float64)
        reached = torch.zeros(count, dtype=torch.long)
        return cls(-inf, inf, reached, margin=none, ceiling=none.clone(), influence=upper - lower)

    @classmethod
    def joined(cls, tubes: Sequence[Tubes]) -> Tubes:
        """Of the boxes of all."""
        return cls(*(torch.cat([getattr(one, field.name) for one in tubes]) for field in fields(cls)))

    def rows(self, index: Tensor) -> Tubes:
        """Of some boxes only."""
        return replace(self, **{field.name: getattr(self, field.name)[index] for field in fields(self)})


def num_steps(loop: ClosedLoop, requirements: Sequence[Requirement], effort: Effort) -> int:
    """Steps until the last requirement ends, in whole periods.

    Raises:
        UserError: There is no requirement.
    """
    if not requirements:
        raise UserError("no requirement is given, so that there is nothing to show")
    periods = max(requirement.window(loop.period)[1] for requirement in requirements)
    return max(periods, 1) * effort.steps


def check_functions(loop: ClosedLoop, lower: Tensor, upper: Tensor, requirements: Sequence[Requirement]) -> None:
    """Call each of the user's functions once, on a box of initial states [1, n].

    Raises:
        UserError: One has no enclosure, gives something else than numbers, or another number of them than is needed.
    """
    basis = Basis(lower.shape[1], 1, 2 * (lower.shape[1] + loop.graph.output_size), 1)
    states = initial_states(basis, lower, upper)
    derivatives(loop.dynamics, states, sampled(loop, states))
    for requirement in requirements:
        margin_bounds(requirement, states)


def tubes(
    loop: ClosedLoop,
    lower: Tensor,
    upper: Tensor,
    requirements: Sequence[Requirement],
    effort: Effort,
    deadline: float = math.inf,
) -> Tubes:
    """Follow boxes of initial states until the last requirement ends, or until one of them cannot be shown.

    Args:
        loop: Network and plant.
        lower: Of the boxes [b, n].
        upper: Of the boxes [b, n].
        requirements: What is to be shown.
        effort: How much the sets keep.
        deadline: Of time.perf_counter(), when to stop; what was reached until then is returned.
    """
    march = _March(loop, lower, upper, requirements, effort)
    for step in range(num_steps(loop, requirements, effort)):
        if not len(march.alive) or time.perf_counter() > deadline:
            break
        march.step(step)
    return march.result


class _March:
    """Boxes on their way, of which those drop out that cannot go on."""

    def __init__(
        self, loop: ClosedLoop, lower: Tensor, upper: Tensor, requirements: Sequence[Requirement], effort: Effort
    ) -> None:
        self.loop, self.requirements, self.effort = loop, requirements, effort
        count, size = lower.shape
        self.size = size
        wide = (upper > lower).any(0)
        self.wide = wide.nonzero().flatten()
        symbols = effort.symbols * (size + loop.graph.output_size)
        basis = Basis(len(self.wide), effort.order, symbols, effort.degree)
        self.states, self.controls = initial_states(basis, lower, upper), []
        self.alive = torch.arange(count)
        steps = num_steps(loop, requirements, effort)
        self.result = Tubes.unknown(lower, upper, steps)
        self._instant(0)

    def step(self, step: int) -> None:
        """One step of all boxes that are left."""
        if step % self.effort.steps == 0:
            joint = absorbed([*self.states, *sampled(self.loop, self.states)])
            self.states, self.controls = joint[: self.size], joint[self.size :]
        seconds = torch.full((len(self.alive),), self.loop.period / self.effort.steps, dtype=torch.float64)
        wanted = [r for r in self.requirements if r.window(self._seconds)[0] <= step < r.window(self._seconds)[1]]
        segment = follow(self.loop, [*self.states, *self.controls], self.size, seconds, wanted, HALVINGS)
        margin = torch.where(segment.verified, segment.margins.amin(1), -torch.inf).nan_to_num(
            -math.inf, math.inf, -math.inf
        )
        self.result.margin[self.alive] = torch.minimum(self.result.margin[self.alive], margin)
        known = self.alive[segment.verified]
        self.result.lower[known, step] = segment.lower[segment.verified]
        self.result.upper[known, step] = segment.upper[segment.verified]
        self.states, self.controls = segment.ends[: self.size], segment.ends[self.size :]
        self._keep(segment.verified)
        self.result.influence[self.alive] = self._influence()
        self._instant(step + 1)
        self._keep(self.result.margin[self.alive] >= 0)
        self.result.reached[self.alive] = step + 1

    @property
    def _seconds(self) -> float:
        return self.loop.period / self.effort.steps

    def _keep(self, good: Tensor) -> None:
        self.alive = self.alive[good]
        self.states = [x.rows(good) for x in self.states]
        self.controls = [x.rows(good) for x in self.controls]

    def _instant(self, step: int) -> None:
        """Requirements at the instant when a step begins; one that rounding adds to a window violates nothing."""
        for requirement in self.requirements:
            first, last = requirement.window(self._seconds)
            if first <= step <= last:
                least, most = margin_bounds(requirement, self.states)
                if requirement.includes(step, self._seconds):
                    self.result.ceiling[self.alive] = torch.minimum(self.result.ceiling[self.alive], most)
                if first == last:
                    self.result.margin[self.alive] = torch.minimum(self.result.margin[self.alive], least)

    def _influence(self) -> Tensor:
        """Of each dimension of the box: the magnitude of all monomials with its variable, relative to its model's."""
        share = torch.zeros(len(self.alive), self.size, dtype=torch.float64)
        basis = self.states[0].basis
        present = (torch.tensor(basis.exponents) > 0).double()  # [s, v]
        for x in self.states:
            size = x.coefficients[:, : len(basis.exponents), 0].abs()
            scale = x.deviation.magnitude + torch.finfo(size.dtype).tiny
            share[:, self.wide] += (size @ present) / scale[:, None]
        return share

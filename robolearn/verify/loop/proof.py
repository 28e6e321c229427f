"""The proof about a closed loop: boxes of initial states, split until the tube of each fulfills what is required."""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Literal

import torch
from torch import Tensor

from robolearn.errors import UserError
from robolearn.nets.threads import one_thread
from robolearn.verify.loop.simulation import worst_start
from robolearn.verify.loop.system import ClosedLoop, Requirement
from robolearn.verify.loop.tube import Effort, Tubes, check_functions, num_steps, tubes
from robolearn.verify.property import Box

Answer = Literal["proved", "violated", "open"]
BATCH = 128
NARROWEST = 1e-9  # of the initial box: narrower parts are not split any more
ATTACK = 0.2  # of the time, in which simulation may look for a violation
INSTANTS = 4  # per step, at which a violation of a single trajectory is looked for


@dataclass(frozen=True, eq=False)
class LoopVerdict:
    """What is known of a closed loop.

    The parts cover the box of initial states. Each has a tube; that of an open part may be the tube of a larger one.

    Attributes:
        answer: "proved", every trajectory fulfills every requirement; "violated", the witness does not; or "open".
        reason: Why it is open; empty otherwise.
        lower: Of the parts [k, n].
        upper: Of the parts [k, n].
        proved: Bool [k].
        tubes: Of the parts.
        step: Seconds of a step of the tubes.
        witness: An initial state [n], from which the trajectory provably violates a requirement; of "violated" alone.
        boxes: How many boxes were followed.
        seconds: Wall time.
    """

    answer: Answer
    reason: str
    lower: Tensor
    upper: Tensor
    proved: Tensor
    tubes: Tubes
    step: float
    witness: Tensor | None
    boxes: int
    seconds: float

    @property
    def share(self) -> float:
        """Share of the initial box, by volume, from which every trajectory is proved to fulfill the requirements."""
        volumes = _volumes(self.lower, self.upper)
        return float(volumes[self.proved].sum() / volumes.sum())

    @property
    def reached(self) -> float:
        """Seconds for which the requirements are shown from the whole initial box."""
        return int(self.tubes.reached.min()) * self.step

    @property
    def margin(self) -> float:
        """What every requirement is at least, over all trajectories and times; -inf while a part is open."""
        return float(self.tubes.margin.min()) if self.proved.all() else -math.inf

    def hull(self) -> tuple[Tensor, Tensor]:
        """Bounds [s, n] of all states that are reached during each step, from the whole initial box."""
        return self.tubes.lower.amin(0), self.tubes.upper.amax(0)


def verify_loop(
    loop: ClosedLoop,
    initial: Box,
    requirements: Sequence[Requirement],
    *,
    seconds: float = 60.0,
    effort: Effort | None = None,
) -> LoopVerdict:
    """Prove that every trajectory from a box fulfills the requirements, or find one that does not.

        loop = ClosedLoop(dynamics, read_network(path), period=0.05)
        verdict = verify_loop(loop, Box([1.0, 0.0], [1.2, 0.2]), [Requirement(margin, 0.5, 1.0)])

    A simulated trajectory that violates a requirement counts as a violation if the tube of its initial state alone
    proves it. Parts that are not proved are bisected, in the dimension that most of their last set is due to; the
    largest come first, and among them those that came farthest.

    Args:
        loop: Network and plant.
        initial: The initial states.
        requirements: What is to be shown; at least one.
        seconds: Wall time after which no more boxes are followed.
        effort: How much the sets keep.

    Raises:
        UserError: There is no requirement, the budget is not positive, or a function of the user's does something
            that has no enclosure, or gives another number of values than is needed.
    """
    effort = effort or Effort()
    if not seconds > 0:
        raise UserError(f"`seconds` {seconds} leaves no time to prove anything")
    started = time.perf_counter()
    with one_thread():
        search = _Search(loop, initial, requirements, effort, started + seconds)
        witness = search.attack(started + seconds * ATTACK)
        while search.open and witness is None and not search.is_over:
            witness = search.advance()
    return search.verdict(witness, time.perf_counter() - started)


@dataclass(frozen=True, eq=False)
class _Part:
    """A box of initial states [1, n], how often it was halved, and a tube that holds its trajectories."""

    lower: Tensor
    upper: Tensor
    depth: int
    tube: Tubes

    def halves(self, dimension: int) -> tuple[_Part, _Part]:
        """Two parts that cover this one."""
        middle = self.lower[:, dimension] / 2 + self.upper[:, dimension] / 2
        below, above = self.upper.clone(), self.lower.clone()
        below[:, dimension] = above[:, dimension] = middle
        return replace(self, upper=below, depth=self.depth + 1), replace(self, lower=above, depth=self.depth + 1)


class _Search:
    """Parts of the initial box: proved ones, open ones in the order in which they are followed, and hopeless ones."""

    def __init__(
        self, loop: ClosedLoop, initial: Box, requirements: Sequence[Requirement], effort: Effort, deadline: float
    ) -> None:
        self.loop, self.initial, self.requirements, self.effort = loop, initial, requirements, effort
        self.deadline, self.boxes, self.serial = deadline, 0, count()
        self.proved: list[_Part] = []
        self.hopeless: list[_Part] = []
        self.open: list[tuple[tuple[int, int, int], _Part]] = []
        lower, upper = initial.lower[None], initial.upper[None]
        check_functions(loop, lower, upper, requirements)
        steps = num_steps(loop, requirements, effort)
        self._push(_Part(lower, upper, 0, Tubes.unknown(lower, upper, steps)))

    @property
    def is_over(self) -> bool:
        """Whether the time is up."""
        return time.perf_counter() > self.deadline

    def attack(self, deadline: float) -> Tensor | None:
        """An initial state whose own tube proves that it violates a requirement, if simulation finds one."""
        start, margin = worst_start(self.loop, self.initial, self.requirements, deadline)
        if not margin < 0:
            return None
        state = torch.from_numpy(start)[None]
        effort = replace(self.effort, steps=self.effort.steps * INSTANTS)
        point = tubes(self.loop, state, state, self.requirements, effort)
        return state[0] if point.ceiling[0] < 0 else None

    def advance(self) -> Tensor | None:
        """Follow the next parts; returns an initial state that violates a requirement, if a whole part does."""
        parts = [heapq.heappop(self.open)[1] for _ in range(min(BATCH, len(self.open)))]
        lower, upper = (torch.cat([getattr(part, side) for part in parts]) for side in ("lower", "upper"))
        result = tubes(self.loop, lower, upper, self.requirements, self.effort, self.deadline)
        self.boxes += len(parts)
        steps = result.lower.shape[1]
        for i, part in enumerate(parts):
            known = replace(part, tube=result.rows(torch.tensor([i])))
            if result.margin[i] < 0:
                self._split(known)
            elif result.reached[i] == steps:
                self.proved.append(known)
            else:  # the time was up on the way; the tube of the larger part may have come farther
                self._push(max(part, known, key=lambda one: int(one.tube.reached)))
        violating = (result.ceiling < 0).nonzero().flatten().tolist()
        return Box(lower[violating[0]], upper[violating[0]]).center if violating else None

    def _split(self, part: _Part) -> None:
        width = part.upper - part.lower
        wide = width > NARROWEST * (self.initial.upper - self.initial.lower)
        if not wide.any():
            self.hopeless.append(part)
            return
        influence = torch.where(wide, part.tube.influence, -1.0)
        for half in part.halves(int(influence.argmax())):
            self._push(half)

    def _push(self, part: _Part) -> None:
        key = (part.depth, -int(part.tube.reached), next(self.serial))
        heapq.heappush(self.open, (key, part))

    def verdict(self, witness: Tensor | None, seconds: float) -> LoopVerdict:
        """What is known now."""
        rest = [part for _, part in self.open] + self.hopeless
        parts = self.proved + rest
        reason = ""
        if witness is None and rest:
            reason = "the time is up" if self.open else "parts are too narrow to be split further"
        return LoopVerdict(
            answer="violated" if witness is not None else "open" if rest else "proved",
            reason=reason,
            lower=torch.cat([part.lower for part in parts]),
            upper=torch.cat([part.upper for part in parts]),
            proved=torch.arange(len(parts)) < len(self.proved),
            tubes=Tubes.joined([part.tube for part in parts]),
            step=self.loop.period / self.effort.steps,
            witness=witness,
            boxes=self.boxes,
            seconds=seconds,
        )


def _volumes(lower: Tensor, upper: Tensor) -> Tensor:
    """Of boxes [k, n], relative to each other; dimensions without a width do not count."""
    width = upper - lower
    largest = width.amax(0)
    return (width[:, largest > 0] / largest[largest > 0]).prod(1)

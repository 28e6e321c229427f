"""The falsifier: gradient steps toward a violation, from many starts, and a replay of what they find.

Nothing counts as a counterexample before it was replayed, one input at a time, in the network's own precision; the
search itself computes in batches, whose last digits differ. An input is a vector of numbers of that precision that lie
in the box. Only where the box has none, as between two neighbors in float32, it is the middle, which is then rounded.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from robolearn.errors import UserError
from robolearn.seeds import FIXED
from robolearn.verify.network import Network
from robolearn.verify.property import Box, Case, Halfspaces, Property
from robolearn.verify.search.verdict import Witness

MOST_CORNERS = 256
POOL = 4  # random points for each restart, of which the most promising are followed
FIRST_STEP, SHRINKING = 0.25, 0.85  # in widths of the box, and from step to step
CLEAR = 1e-4  # of the largest output; counterexamples of less are searched further
REPLAYED = 8  # of the points that look like violations, those that are replayed


@dataclass(frozen=True)
class Attack:
    """How long is searched.

    Attributes:
        restarts: Points that gradient steps start from, for each set of unsafe outputs.
        steps: Gradient steps from each.
        seed: Of the random starts.

    Raises:
        UserError: There are fewer than no restarts or steps.
    """

    restarts: int = 64
    steps: int = 40
    seed: int = FIXED

    def __post_init__(self) -> None:
        for name, value in (("restarts", self.restarts), ("steps", self.steps)):
            if value < 0:
                raise UserError(f"`{name}` {value} is below 0")


def falsify(
    network: Network, asked: Property, attack: Attack | None = None, *, deadline: float = torch.inf
) -> Witness | None:
    """A counterexample of a property, or None where none was found.

    The same arguments find the same counterexample, unless the time is up before.

    Args:
        network: Whose outputs are asked about.
        asked: The property.
        attack: How long is searched in each case.
        deadline: Value of time.monotonic() after which no new step is begun.
    """
    for index in range(len(asked.cases)):
        if time.monotonic() > deadline:
            return None
        if (witness := _falsify_case(network, asked, index, attack or Attack(), deadline)) is not None:
            return witness
    return None


def replay(network: Network, asked: Property, index: int, x: Tensor) -> Witness | None:
    """The worst counterexample of a case among points x [b, n], rounded into its box; None where none is one.

    Args:
        network: Whose outputs are asked about.
        asked: The property.
        index: Of the case.
        x: float, anywhere.
    """
    x = _inside(network, asked.cases[index].box, x)
    with torch.no_grad():
        y = network.batched(x.to(network.dtype))
    return _worst(network, asked, index, x, y)


def is_violated(case: Case, x: Tensor, y: Tensor) -> bool:
    """Whether an input x [n] with its output y [m] is a counterexample, in exact arithmetic."""
    if not (bool(case.box.contains(x)) and bool(y.isfinite().all())):
        return False
    numbers = [Fraction(value) for value in y.tolist()]
    return any(_holds_exactly(one, numbers) for one in case.unsafe)


def _holds_exactly(unsafe: Halfspaces, y: list[Fraction]) -> bool:
    rows = zip(unsafe.weights.tolist(), unsafe.offset.tolist(), strict=True)
    return all(
        sum(Fraction(weight) * value for weight, value in zip(weights, y, strict=True) if weight) + Fraction(offset)
        <= 0
        for weights, offset in rows
    )


def _falsify_case(network: Network, asked: Property, index: int, attack: Attack, deadline: float) -> Witness | None:
    """Projected gradient descent on the worst row of each set of unsafe outputs, from its most promising starts."""
    case = asked.cases[index]
    low, high = (bound.to(network.dtype) for bound in case.box.numbers(network.dtype))
    starts = _starts(low, high, attack)
    with torch.no_grad():
        y = network.batched(starts)
    witness = _worst(network, asked, index, starts, y)
    nearest = _margins(case, y).nan_to_num(torch.inf).argsort(1)[:, : attack.restarts]
    sets, x = torch.arange(len(nearest)).repeat_interleave(nearest.shape[1]), starts[nearest.flatten()]
    for step in range(attack.steps):
        if time.monotonic() > deadline or (witness is not None and _is_clear(case, witness)):
            break
        x.requires_grad_(True)
        y = network.batched(x)
        own = _margins(case, y).gather(0, sets[None]).sum() + 0 * x.sum()  # also where the network is constant
        (gradient,) = torch.autograd.grad(own, x)
        x = x.detach()
        witness = _worse(case, witness, _worst(network, asked, index, x, y.detach()))
        length = FIRST_STEP * SHRINKING**step * (high - low)
        x = (x - length * gradient.nan_to_num(0.0).sign()).clamp(low, high)
    return witness


def _worst(network: Network, asked: Property, index: int, x: Tensor, y: Tensor) -> Witness | None:
    """Of points x [b, n] in a box with outputs y [b, m] of a batch that which violates the case most, when replayed."""
    case, best = asked.cases[index], None
    x = _inside(network, case.box, x)
    margins = case.margin(y).nan_to_num(torch.inf)
    near = int((margins <= CLEAR * y.abs().amax(-1).clamp(min=1)).sum())
    for row in margins.argsort()[: min(REPLAYED, near)].tolist():
        replayed = Witness(x[row], network.replay(x[row]), index)
        if is_violated(case, replayed.x, replayed.y):
            best = _worse(case, best, replayed)
    return best


def _inside(network: Network, box: Box, x: Tensor) -> Tensor:
    """Points as numbers of the network's precision within a box, float64."""
    least, greatest = box.numbers(network.dtype)
    return torch.minimum(torch.maximum(x.to(network.dtype).to(torch.float64), least), greatest)


def _starts(low: Tensor, high: Tensor, attack: Attack) -> Tensor:
    """The middle, corners and random points, [b, n]; all corners if there are few."""
    generator = torch.Generator().manual_seed(attack.seed)
    wide = (low < high).nonzero()[:, 0]
    if 2 ** len(wide) <= MOST_CORNERS:
        sides = torch.arange(2 ** len(wide))[:, None] >> torch.arange(len(wide)) & 1
    else:
        sides = torch.randint(2, (MOST_CORNERS, len(wide)), generator=generator)
    corners = torch.zeros(len(sides), len(low), dtype=torch.float64)
    corners[:, wide] = sides.double()
    random = torch.rand(POOL * attack.restarts, len(low), generator=generator, dtype=torch.float64)
    shares = torch.cat([torch.full((1, len(low)), 0.5, dtype=torch.float64), corners, random])
    return (low.double() * (1 - shares) + high.double() * shares).to(low.dtype).clamp(low, high)


def _margins(case: Case, y: Tensor) -> Tensor:
    """Of outputs [b, m] to each set of unsafe ones, [sets, b]."""
    return torch.stack([one.margin(y) for one in case.unsafe])


def _is_clear(case: Case, witness: Witness) -> bool:
    """Whether another order of the network's sums would not change that it is a counterexample."""
    return float(case.margin(witness.y)) <= -CLEAR * max(1.0, float(witness.y.abs().max()))


def _worse(case: Case, one: Witness | None, other: Witness | None) -> Witness | None:
    """Of two counterexamples that which violates the case by more."""
    if one is None or other is None:
        return one or other
    return min(one, other, key=lambda witness: float(case.margin(witness.y)))

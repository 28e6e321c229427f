"""One step of a closed loop, cut where it is too long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robolearn.errors import UserError
from robolearn.verify.loop.flow import advance, as_models, at_end, to_array
from robolearn.verify.loop.symbols import absorbed
from robolearn.verify.loop.system import ClosedLoop, Requirement
from robolearn.verify.loop.taylor import TaylorModel

COARSE = 1e-2  # share of a set's size that the highest power of time may have


@dataclass(frozen=True, eq=False)
class Segment:
    """What happens in one step.

    Attributes:
        ends: States and controls at its end, absorbed.
        lower: [b, n], of the states at all times of the step.
        upper: The same.
        margins: [b, r], least value of each requirement's numbers over the step.
        verified: Bool [b]: the above hold.
    """

    ends: list[TaylorModel]
    lower: Tensor
    upper: Tensor
    margins: Tensor
    verified: Tensor


def margin_bounds(requirement: Requirement, states: Sequence[TaylorModel]) -> tuple[Tensor, Tensor]:
    """Between which the least of a requirement's numbers is over sets of states, [b] each.

    Raises:
        UserError: It has no numbers.
    """
    values = as_models(requirement.margin(to_array(states)), states[0])
    if not values:
        raise UserError("the margin of a requirement gives no number, so that it says nothing")
    least, most = (torch.stack(ends) for ends in zip(*(value.bounds() for value in values), strict=True))
    return least.amin(0), most.amin(0)


def follow(
    loop: ClosedLoop,
    joint: Sequence[TaylorModel],
    size: int,
    seconds: Tensor,
    requirements: Sequence[Requirement],
    halvings: int,
) -> Segment:
    """One step, in two halves for those boxes for which the whole is too long.

    Args:
        loop: Its dynamics.
        joint: States and controls at the beginning, without radius.
        size: How many of them are states.
        seconds: Length of the step [b].
        requirements: Those that hold throughout the step.
        halvings: How often a step may be halved.
    """
    states, controls = joint[:size], joint[size:]
    flow = advance(loop.dynamics, states, controls, seconds)
    ends = absorbed([*(at_end(x) for x in flow.states), *controls])
    lower, upper = (torch.stack(side, 1) for side in zip(*(x.bounds() for x in flow.states), strict=True))
    margins = [margin_bounds(requirement, flow.states)[0] for requirement in requirements]
    none = torch.full_like(seconds, torch.inf)
    whole = Segment(ends, lower, upper, torch.stack([none, *margins], 1), flow.verified)
    coarse = torch.stack([x.coefficients[..., -1].abs().sum(1) > COARSE * x.deviation.magnitude for x in flow.states])
    long = (~flow.verified | coarse.any(0)).nonzero().flatten()
    if not halvings or not len(long):
        return whole
    half = seconds[long] / 2
    first = follow(loop, [x.rows(long) for x in joint], size, half, requirements, halvings - 1)
    second = follow(loop, first.ends, size, half, requirements, halvings - 1)
    return Segment(
        [x.replaced(long, y) for x, y in zip(whole.ends, second.ends, strict=True)],
        whole.lower.index_copy(0, long, torch.minimum(first.lower, second.lower)),
        whole.upper.index_copy(0, long, torch.maximum(first.upper, second.upper)),
        whole.margins.index_copy(0, long, torch.minimum(first.margins, second.margins)),
        whole.verified.index_copy(0, long, first.verified & second.verified),
    )

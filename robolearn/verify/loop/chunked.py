"""Where a policy of codes takes a linear plant, chunk by chunk, whatever codes are drawn.

For a box of observations and a code, the chunk is linear in the observation up to a gap; so is, after every substep,
the state. What the policy does not observe of it only has bounds. That gives a tube, whose distance to the obstacles
is checked, and a box that holds every observation from which the policy is asked again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from robolearn.verify.loop.codes import Codes, Seen
from robolearn.verify.loop.servo import Servo
from robolearn.verify.rounding import center_radius


@dataclass(frozen=True, eq=False)
class Crossing:
    """What is asked: to pass obstacles in a plane and reach a line.

    The state begins with the place (x, y) [m]; the policy observes its first numbers, as many as `codes.size`.

    Attributes:
        codes: The policy.
        servo: The plant.
        steps: Actions executed before the policy is asked again.
        most_steps: Actions until an episode ends.
        centers: Of round obstacles [k, 2], [m].
        radii: Of the obstacles, with that of what moves, [k], [m].
        finish: y behind which an episode ends well, at the end of an action [m].
        rest: What the numbers that are not observed do not exceed when the policy is asked [n - codes.size].
    """

    codes: Codes
    servo: Servo
    steps: int
    most_steps: int
    centers: Tensor
    radii: Tensor
    finish: float
    rest: Tensor

    @cached_property
    def unrolled(self) -> tuple[Tensor, Tensor]:
        """P [u, n, n] and Q [u, n, steps * a] of a chunk."""
        states, helds = self.servo.unrolled(self.steps)
        return states, helds.flatten(2)

    @cached_property
    def error(self) -> float:
        """How far a number of the true state can be from the linear one's."""
        rounding = self.servo.rounding(self.steps)
        assert rounding < self.servo.departure, "the plant's assumed departure covers what is rounded"
        return 2 * self.servo.departure


@dataclass(frozen=True)
class Passage:
    """A chunk from a box of observations.

    Attributes:
        code: That was drawn.
        clearance: Least distance to an obstacle until the finish is surely reached [m]; negative after a failure of
            another kind too: the state leaves the bounds of what is not observed.
        duration: Actions after which the finish is surely reached, or None.
        lower: Least observation when the policy is asked again [n].
        upper: Greatest observation then [n].
    """

    code: int
    clearance: float
    duration: int | None
    lower: np.ndarray
    upper: np.ndarray


@dataclass(frozen=True)
class Tube:
    """All states of a chunk from boxes [b].

    Attributes:
        lower: Of the states after every substep [b, u, n].
        upper: Of the states after every substep [b, u, n].
    """

    lower: Tensor
    upper: Tensor


def tube(crossing: Crossing, at: Seen, code: int) -> Tube:
    """Enclose the states after every substep of a code's chunk, from boxes of observations."""
    servo, (held, response) = crossing.servo, crossing.unrolled
    linear, seen = at.head(code), crossing.codes.size
    center, radius = center_radius(*at.relaxed.bounds[0])
    targets = crossing.steps * len(servo.lower)
    slope, middle, gap = linear.slope[:, :targets], linear.middle[:, :targets], linear.gap[:, :targets]
    slope, middle, gap = _clipped(servo, slope, middle, gap, radius)
    states = torch.einsum("unj,bj->bun", held[:, :, :seen], center) + torch.einsum("unt,bt->bun", response, middle)
    spread = held[:, :, :seen] + torch.einsum("unt,btj->bunj", response, slope)
    reach = torch.einsum("bunj,bj->bun", spread.abs(), radius)
    reach = reach + (held[:, :, seen:].abs() @ crossing.rest) + torch.einsum("unt,bt->bun", response.abs(), gap)
    reach = reach + crossing.error
    return Tube(states - reach, states + reach)


def _clipped(servo: Servo, slope: Tensor, middle: Tensor, gap: Tensor, radius: Tensor) -> tuple[Tensor, ...]:
    """Targets between the walls; one that may be beyond is known by its interval alone."""
    times = middle.shape[1] // len(servo.lower)
    low, high = servo.lower.repeat(times), servo.upper.repeat(times)
    reach = gap + (slope.abs() * radius[:, None]).sum(2)
    beyond = (middle - reach < low) | (middle + reach > high)
    least, most = (middle - reach).clamp(low, high), (middle + reach).clamp(low, high)
    slope = torch.where(beyond[..., None], 0.0, slope)
    return slope, torch.where(beyond, (least + most) / 2, middle), torch.where(beyond, (most - least) / 2 + 1e-15, gap)


def passages(crossing: Crossing, at: Seen, code: int) -> list[Passage]:
    """What a code's chunk does from boxes of observations."""
    states, seen = tube(crossing, at, code), crossing.codes.size
    position = states.lower[..., :2], states.upper[..., :2]
    last = crossing.servo.substeps
    done = position[0][:, last - 1 :: last, 1] >= crossing.finish  # [b, steps]
    until = torch.where(done.any(1), done.to(torch.int64).argmax(1) + 1, crossing.steps)
    # The box's nearest point to an obstacle's center.
    aside = torch.maximum(position[0][:, :, None] - crossing.centers, crossing.centers - position[1][:, :, None])
    distance = (aside.clamp(min=0).square().sum(3).sqrt() - crossing.radii).amin(2) - crossing.error
    acting = torch.arange(distance.shape[1]) < until[:, None] * last
    clearance = torch.where(acting, distance, torch.inf).amin(1)
    end = states.lower[:, -1], states.upper[:, -1]
    resting = (torch.maximum(-end[0], end[1])[:, seen:] <= crossing.rest).all(1)
    known = torch.stack(end).isfinite().all(2).all(0)  # what is no number is in no cell
    loose = ~(resting & known) & ~done.any(1)
    clearance = torch.where(loose, -torch.inf, clearance)
    # Whoever is behind the finish when the chunk ends is not asked again.
    end[1][:, 1].clamp_(max=crossing.finish)
    return [
        Passage(code, float(c), int(n) if d else None, low.numpy(), high.numpy())
        for c, n, d, low, high in zip(clearance, until, done.any(1), end[0][:, :seen], end[1][:, :seen], strict=True)
    ]


def explore(crossing: Crossing, boxes: list[tuple[np.ndarray, np.ndarray]]) -> list[list[Passage]]:
    """Of every box of observations, what each code does that may be drawn in it."""
    lower, upper = (torch.from_numpy(np.stack(corners)) for corners in zip(*boxes, strict=True))
    at = crossing.codes.seen(lower, upper)
    allowed = at.allowed()
    assert allowed.any(1).all(), "some code is drawn in every box"
    box_passages: list[list[Passage]] = [[] for _ in boxes]
    for code in allowed.any(0).nonzero()[:, 0].tolist():
        rows = allowed[:, code].nonzero()[:, 0]
        for row, passage in zip(rows.tolist(), passages(crossing, at[rows], code), strict=True):
            box_passages[row].append(passage)
    return box_passages

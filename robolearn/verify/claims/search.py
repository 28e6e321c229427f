"""Claims decided box by box: bounds of all boxes at once, a falsifier, and branch and bound for what is left.

How far it comes is counted in boxes beside seconds. What was proved by so many boxes is proved by as many again,
on any machine: that is how a certificate is checked.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from robolearn import seeds
from robolearn.verify.claims.claim import Claim
from robolearn.verify.claims.subject import Subject

BATCH = 8  # boxes that are bounded at once
STARTS, FOLLOWED, STEPS = 96, 8, 12  # random points of the falsifier, those it follows, and for how many steps
NARROWEST = 1e-6  # of the box that was asked about; narrower parts are not cut any more
Answer = Literal["proved", "falsified", "open"]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What is known of a claim for the box of one observation.

    Attributes:
        answer: "falsified" has a witness; "open" is neither.
        bound: What the margin is proved to be at least; not negative if the claim is proved.
        boxes: How many were bounded.
        witness: The input that violates it, as the policy gets it [n].
    """

    answer: Answer
    bound: float
    boxes: int
    witness: Tensor | None = None


def decide_all(
    subject: Subject, claim: Claim, lower: Tensor, upper: Tensor, *, seconds: float, most_boxes: list[int] | None = None
) -> list[Outcome]:
    """Prove a claim for boxes of inputs, or find inputs that violate it.

    Args:
        subject: The policy.
        claim: What is claimed of it.
        lower: Of the boxes, float64 [b, n], one for each observation.
        upper: The same from above.
        seconds: For each observation, after the first bounds.
        most_boxes: For each observation, how many boxes are bounded at most; by default no limit.
    """
    margins = first_margins(subject, claim, lower, upper)
    outcomes = []
    for row, margin in enumerate(margins.tolist()):
        if margin >= 0:
            outcomes.append(Outcome("proved", margin, 1))
            continue
        witness = falsify(subject, claim, lower[row], upper[row], row)
        if witness is not None:
            outcomes.append(Outcome("falsified", margin, 1, witness))
            continue
        boxes = math.inf if most_boxes is None else float(most_boxes[row])
        outcomes.append(_search(subject, claim, (lower[row], upper[row], row, margin), seconds, boxes))
    return outcomes


def first_margins(subject: Subject, claim: Claim, lower: Tensor, upper: Tensor) -> Tensor:
    """What the margin of every box [b, n] is proved to be at least, without cutting any [b]."""
    rows = torch.arange(len(lower))
    parts = zip(lower.split(BATCH), upper.split(BATCH), rows.split(BATCH), strict=True)
    return torch.cat([claim.margin(subject.enclose(low, high), row) for low, high, row in parts])


def falsify(subject: Subject, claim: Claim, lower: Tensor, upper: Tensor, row: int) -> Tensor | None:
    """An input of a box [n] that violates a claim, replayed alone; None where none was found."""
    generator = torch.Generator().manual_seed(seeds.FIXED)
    share = torch.rand(STARTS, len(lower), generator=generator, dtype=torch.float64)
    share[: STARTS // 2] = share[: STARTS // 2].round()  # corners
    x = _inside(lower + share * (upper - lower), lower, upper)
    margin = claim.margin(subject.act(x), torch.full((len(x),), row)).detach()
    x = x[margin.argsort()[:FOLLOWED]]
    for step in range(STEPS + 1):
        x.requires_grad_(True)
        margin = claim.margin(subject.act(x), torch.full((len(x),), row))
        for i in (margin < 0).nonzero()[:, 0].tolist():
            if float(claim.margin(subject.act(x[i : i + 1].detach()), torch.tensor([row]))) < 0:
                return x[i].detach()
        if step == STEPS or not margin.requires_grad:
            return None
        (gradient,) = torch.autograd.grad(margin.clamp(max=1e30).sum(), x)
        length = 0.25 * 0.8**step * (upper - lower)
        x = _inside(x.detach() - length * gradient.nan_to_num(0.0).sign(), lower, upper)
    return None


def _inside(x: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """The nearest numbers of float32 in a box, or next to it where it has none."""
    x = x.clamp(lower, upper).float()
    x = torch.where(x.double() < lower, x.nextafter(torch.tensor(torch.inf)), x)
    return torch.where(x.double() > upper, x.nextafter(torch.tensor(-torch.inf)), x).double()


def _search(
    subject: Subject, claim: Claim, asked: tuple[Tensor, Tensor, int, float], seconds: float, most_boxes: float
) -> Outcome:
    """Halve the boxes with the least margins, across the input that moves the actions most."""
    lower, upper, row, margin = asked[0][None], asked[1][None], asked[2], torch.tensor([asked[3]])
    width, bounded, proved = (asked[1] - asked[0]).clamp(min=1e-300), 1, math.inf
    influence = subject.enclose(lower, upper).influence
    started = time.monotonic()
    while len(lower) and time.monotonic() - started < seconds and bounded < most_boxes:
        chosen = torch.zeros(len(lower), dtype=torch.bool)
        chosen[margin.topk(min(BATCH // 2, len(lower)), largest=False).indices] = True
        low, high = _halves(lower[chosen], upper[chosen], influence[chosen])
        chunks = subject.enclose(low, high)
        half_margins = claim.margin(chunks, torch.full((len(low),), row))
        bounded += len(low)
        middle = _inside((low + high) / 2, asked[0], asked[1])
        for i in (claim.margin(subject.act(middle), torch.full((len(low),), row)) < 0).nonzero()[:, 0].tolist():
            if float(claim.margin(subject.act(middle[i : i + 1]), torch.tensor([row]))) < 0:
                return Outcome("falsified", float(torch.cat([margin, half_margins]).min()), bounded, middle[i].detach())
        proved = min([proved, *half_margins[half_margins >= 0].tolist()])
        left = ~(half_margins >= 0)
        lower, upper = torch.cat([lower[~chosen], low[left]]), torch.cat([upper[~chosen], high[left]])
        margin = torch.cat([margin[~chosen], half_margins[left]])
        influence = torch.cat([influence[~chosen], chunks.influence[left]])
        if left.any() and ((high - low)[left] <= NARROWEST * width).all(1).any():
            break
    if len(lower):
        return Outcome("open", float(margin.min()), bounded)
    return Outcome("proved", proved, bounded)


def _halves(lower: Tensor, upper: Tensor, influence: Tensor) -> tuple[Tensor, Tensor]:
    score = influence.nan_to_num(nan=1.0, posinf=1e300).clamp(max=1e300) * (upper - lower)
    # Where bounds are loose they tell little of what moves the actions: inputs that stayed wide count, too.
    share = (upper - lower) / (upper - lower).amax(1, keepdim=True).clamp(min=1e-300)
    score = score / score.amax(1, keepdim=True).clamp(min=1e-300) + 0.1 * share
    axis, rows = score.argmax(1), torch.arange(len(lower))
    middle = (lower[rows, axis] + upper[rows, axis]) / 2
    below, above = upper.clone(), lower.clone()
    below[rows, axis], above[rows, axis] = middle, middle
    return torch.cat([lower, above]), torch.cat([below, upper])

"""Randomness that is drawn first and passed in: where it comes from, and what is made of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

Draws = dict[str, Tensor]
Schedule = Callable[[float], float]  # of the share in [0, 1) of a player's span that lies behind
LEAST_SHARE = 1e-300  # of a cumulative sum


@runtime_checkable
class Progress(Protocol):
    """The share of a player's span that lies behind, in a step that is recorded: each repetition has another."""

    def __call__(self, name: str, schedule: Schedule) -> Float[Tensor, ""]:
        """What a schedule says of it, on the device; ``name`` is of no other schedule of this player."""
        ...


@dataclass(frozen=True)
class DrawSource:
    """Where the draws for a player's loss come from; every leading axis is the batch."""

    batch: int
    generator: torch.Generator
    player: str = "policy"
    progress: float | Progress = 0.0
    """Share in [0, 1) of the player's span that lies behind; for `scheduled`."""

    def normal(self, *shape: int) -> Float[Tensor, "b ..."]:
        """From N(0, I)."""
        return standard_normal(self.batch, *shape, generator=self.generator)

    def uniform(self, *shape: int) -> Float[Tensor, "b ..."]:
        """From [0, 1)."""
        return torch.rand(self.batch, *shape, generator=self.generator, device=self.generator.device)

    def scheduled(self, name: str, schedule: Schedule) -> Float[Tensor, " b"]:
        """What changes in the course of a training, the same in each row.

        Args:
            name: Of no other schedule of this player.
            schedule: The number, as a function of the share in [0, 1) of the player's span that lies behind.
        """
        if isinstance(self.progress, Progress):
            return self.progress(name, schedule).float().expand(self.batch)
        return torch.full((self.batch,), schedule(self.progress), device=self.generator.device)

    def integers(self, low: int, high: int) -> Int[Tensor, " b"]:
        """From low .. high - 1."""
        return torch.randint(low, high, (self.batch,), generator=self.generator, device=self.generator.device)


def standard_normal(batch: int, *shape: int, generator: torch.Generator) -> Float[Tensor, "b ..."]:
    """Draw from N(0, I) on the generator's device."""
    return torch.randn(batch, *shape, generator=generator, device=generator.device)


def draw_category(logits: Float[Tensor, "b k"], noise: Float[Tensor, " b"]) -> Int[Tensor, " b"]:
    """Draw from categorical distributions by inverting their cumulative sums at Phi(noise).

    Whatever the noise, a category of probability 0 is not drawn: the sums are met above 0 and by their last at most.
    """
    cumulative = logits.softmax(1, dtype=torch.float64).cumsum(1)
    share = torch.special.ndtr(noise.double())[:, None].clamp(min=LEAST_SHARE)
    return torch.searchsorted(cumulative, share * cumulative[:, -1:])[:, 0]


def likely(logits: Float[Tensor, "b k"], floor: float) -> Float[Tensor, "b k"]:
    """The logits of categories that may be drawn, those of probability below ``floor`` masked; the likeliest stays."""
    if floor == 0:
        return logits
    probability = logits.softmax(1)
    least = probability.amax(1, keepdim=True).clamp(max=floor)
    return logits.masked_fill(probability < least, -torch.inf)


def race(logits: Float[Tensor, "b k"], noise: Float[Tensor, "b k"]) -> Int[Tensor, " b"]:
    """Draw from categorical distributions by the Gumbel-max trick, with -log(-log Phi(noise)) as Gumbel noise.

    A third of the time of ``draw_category``, which can do with one number per draw.
    """
    return (logits - (-torch.special.log_ndtr(noise)).log()).argmax(1)

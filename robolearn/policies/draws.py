"""Randomness that is drawn first and passed in: where it comes from, and what is made of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

Draws = dict[str, Tensor]


@dataclass(frozen=True)
class DrawSource:
    """Where the draws for a player's loss come from; every leading axis is the batch."""

    batch: int
    generator: torch.Generator
    player: str = "policy"
    progress: float = 0.0
    """Share in [0, 1) of the player's span that lies behind, for schedules."""

    def normal(self, *shape: int) -> Float[Tensor, "b ..."]:
        """From N(0, I)."""
        return standard_normal(self.batch, *shape, generator=self.generator)

    def uniform(self, *shape: int) -> Float[Tensor, "b ..."]:
        """From [0, 1)."""
        return torch.rand(self.batch, *shape, generator=self.generator, device=self.generator.device)

    def integers(self, low: int, high: int) -> Int[Tensor, " b"]:
        """From low .. high - 1."""
        return torch.randint(low, high, (self.batch,), generator=self.generator, device=self.generator.device)


def standard_normal(batch: int, *shape: int, generator: torch.Generator) -> Float[Tensor, "b ..."]:
    """Draw from N(0, I) on the generator's device."""
    return torch.randn(batch, *shape, generator=generator, device=generator.device)


def draw_category(logits: Float[Tensor, "b k"], noise: Float[Tensor, " b"]) -> Int[Tensor, " b"]:
    """Draw from categorical distributions by inverting their cumulative sums at Phi(noise)."""
    cumulative = logits.softmax(1, dtype=torch.float64).cumsum(1)
    place = torch.searchsorted(cumulative, torch.special.ndtr(noise.double())[:, None])
    return place[:, 0].clamp(max=logits.shape[1] - 1)


def race(logits: Float[Tensor, "b k"], noise: Float[Tensor, "b k"], temperature: float = 1.0) -> Int[Tensor, " b"]:
    """Draw from categorical distributions by the Gumbel-max trick, with -log(-log Phi(noise)) as Gumbel noise.

    A third of the time of ``choose``, which can do with one number per draw.
    """
    return torch.sub(logits, (-torch.special.log_ndtr(noise)).log(), alpha=temperature).argmax(1)

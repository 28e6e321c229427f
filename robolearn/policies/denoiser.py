"""Families that learn to remove noise: each window of a batch may be seen with several noises at once."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

from robolearn.nets.sizes import check_sizes
from robolearn.policies.draws import Draws, DrawSource
from robolearn.policies.family import Chunks, Family, FamilyConfig, Loss


@dataclass(frozen=True)
class DenoiserConfig(FamilyConfig):
    """Options that all denoisers share."""

    draws_per_window: int = field(default=1, kw_only=True)
    """Noises and levels drawn for each window of a batch, over one encoding of its observations: more make a step less
    noisy, and cost little where it is the cameras that cost."""

    def check_draws(self, name: str) -> None:
        """Raise a UserError unless there is a draw, and a number of them that memory can hold."""
        check_sizes(name, draws_per_window=self.draws_per_window)


class Denoiser(Family):
    """L = the mean over noises and their levels of the error of what the network makes of a chunk with noise.

    The noise is most of what such a gradient varies with: many draws at one observation are nearly worth as many
    windows, and the observation is encoded once for all of them.

    Attributes:
        drawn: Names of what `corruption` draws; images and prefixes have draws of their own beside them.
    """

    drawn: ClassVar[tuple[str, ...]]

    @abstractmethod
    def corruption(self, source: DrawSource) -> Draws:
        """Draw noises and levels, one for each row."""

    @abstractmethod
    def denoising_loss(self, data: Chunks, draws: Draws) -> Loss:
        """The error of as many rows as there are draws."""

    def draw(self, source: DrawSource) -> Draws:
        """Noises and levels [b, draws_per_window, ...]."""
        n = self.cfg.draws_per_window
        drawn = self.corruption(dataclasses.replace(source, batch=source.batch * n))
        return {name: value.unflatten(0, (source.batch, n)) for name, value in drawn.items()}

    def loss(self, data: Chunks, draws: Draws, *, player: str = "policy") -> Loss:
        """The mean over all draws of all windows."""
        n = draws[self.drawn[0]].shape[1]
        many = Chunks(*(x.repeat_interleave(n, dim=0) for x in (data.actions, data.cond, data.mask)))
        return self.denoising_loss(many, {name: draws[name].flatten(0, 1) for name in self.drawn})

"""What every family of policies is: the mathematics of a conditional distribution over action chunks.

A family works in normalized action space only and never draws random numbers itself: everything random is
drawn first (``draw`` for the loss, ``noise`` for sampling) and passed in. Loss and sampling are then
deterministic functions, which gives common random numbers across ensemble members, equal losses on one
process and on many, and a network that can be studied over a box of noise.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from robolearn.errors import UserError
from robolearn.nets.backbone import Backbone, Head
from robolearn.policies.draws import Draws, DrawSource, Progress, standard_normal
from robolearn.policies.losses import energy_score

BY_HEART = 0.1
"""Dropout that suits families which learn the demonstrations' chunks by heart: they add no noise to them."""

Loss = tuple[Float[Tensor, ""], dict[str, Tensor]]  # and numbers worth logging


@dataclass(frozen=True)
class Chunks:
    """Demonstrated chunks and what they depend on, normalized and encoded."""

    actions: Float[Tensor, "b t a"]
    cond: Float[Tensor, "b o c"]
    mask: Bool[Tensor, "b t"]
    """True where a step counts; the others are padding."""

    def __len__(self) -> int:
        return len(self.actions)

    def __getitem__(self, rows: Any) -> Chunks:
        return Chunks(self.actions[rows], self.cond[rows], self.mask[rows])


@dataclass(frozen=True)
class Examples:
    """Training windows, for what a family makes of the data before it is trained."""

    draw: Callable[[int], Chunks]
    """Given n, that many random ones, each at most once; fewer where there are fewer."""
    total: int
    """Windows that there are."""
    prefix_dim: int = 0
    """Last channels of the condition, which tell the actions that are known."""

    def __call__(self, n: int) -> Chunks:
        """Draw n of them, or as many as there are."""
        return self.draw(n)


@runtime_checkable
class MakeNet(Protocol):
    """Builds a backbone for this policy's chunk and observations; a family may ask for several."""

    def __call__(self, dim_in: int, dim_out: int, num_times: int) -> Backbone:
        """Build a backbone from ``dim_in`` to ``dim_out`` channels with ``num_times`` time arguments."""
        ...

    def head(self, dim_in: int, dim_out: int) -> Head:
        """Build a small network from ``dim_in`` numbers and the observations to ``dim_out`` numbers."""
        ...


class FamilyConfig(ABC):
    """Options of a family: a frozen dataclass, every field with a default, of which a run keeps the values.

    What stands in `robolearn.policies.registry.FAMILIES` may be trained by name.
    """

    dropout: ClassVar[float] = 0.0
    """Share of channels that a backbone drops in training, where its own options leave that open."""

    @abstractmethod
    def build(self, make_net: MakeNet, action_horizon: int, action_dim: int) -> Family:
        """Build the family, with as many backbones as it asks ``make_net`` for."""


@dataclass(frozen=True)
class Player:
    """A module with an optimizer of its own, and when it moves."""

    module: nn.Module
    """What the optimizer changes."""
    span: tuple[float, float] = (0.0, 1.0)
    """From which share of the training steps to which; the learning rate warms up and decays within it."""
    every: int = 1
    """Moves at every so many steps of its span."""
    trains_encoder: bool = True
    """Whether its loss also trains the observation encoder."""
    lr: float | None = None
    """Peak learning rate where the family needs its own."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Adam's decay rates of the first and second moment."""
    opponent: nn.Module | None = None
    """Moves together with ``module`` and climbs the loss that ``module`` descends (competitive gradient descent)."""
    compiles: bool = True
    """Whether torch.compile can take its loss; not where slopes within the loss are differentiated again."""
    lowers: bool = True
    """Whether its loss can be given weights in bfloat16 under autocast; not where it leaves autocast."""

    def __post_init__(self) -> None:
        assert 0 <= self.span[0] < self.span[1] <= 1, self.span
        assert self.every >= 1, self.every


class Family(nn.Module, ABC):
    """A conditional distribution p(actions | cond) over chunks [t, a], normalized to [-1, 1].

    A family has a loss and a way to sample; all else has a default, for one network that is asked once. Its
    configuration is a frozen dataclass that builds it, whose fields are the options on the command line. See
    docs/policies.md for one that is written outside of this package:

        @dataclass(frozen=True)
        class MedianConfig:
            def build(self, make_net, action_horizon, action_dim):
                return Median(self, make_net, action_horizon, action_dim)

        class Median(Family):
            noise_shape = (0,)  # deterministic

            def __init__(self, cfg, make_net, action_horizon, action_dim):
                super().__init__(cfg, action_horizon, action_dim)
                self.net = make_net(action_dim, action_dim, 0)

            def loss(self, data, draws, *, player="policy"):
                chunk = self.net(torch.zeros_like(data.actions), data.cond)
                return masked_mean((chunk - data.actions).abs(), data.mask), {}

            def sample(self, cond, noise):
                return self.net(cond.new_zeros(len(cond), *self.chunk_shape), cond)

    Args:
        cfg: Its configuration.
        action_horizon: Steps of a chunk.
        action_dim: Numbers of an action.

    Attributes:
        chunk_shape: (action_horizon, action_dim).
        noise_shape: Of what one sample needs; None for that of a chunk.
        nfe: Network evaluations per sampled chunk.
        limit: Numbers of a chunk lie between this and its negative, all or nearly all.
    """

    noise_shape: tuple[int, ...] | None = None
    nfe: int = 1
    limit: float = 1.0

    def __init__(self, cfg: Any, action_horizon: int, action_dim: int):
        super().__init__()
        self.cfg = cfg
        self.chunk_shape = (action_horizon, action_dim)

    @abstractmethod
    def loss(self, data: Chunks, draws: Draws, *, player: str = "policy") -> Loss:
        """Loss of one player and numbers worth logging; steps where the mask is False do not count."""

    @abstractmethod
    def sample(self, cond: Float[Tensor, "b o c"], noise: Float[Tensor, "b ..."]) -> Float[Tensor, "b t a"]:
        """Map conditions and noise to chunks, deterministically."""

    def draw(self, source: DrawSource) -> Draws:
        """Draw everything random that a player's loss of a batch needs; by default nothing is random."""
        return {}

    def players(self) -> dict[str, Player]:
        """Who is trained, in the order of their moves; an adversarial family has two."""
        return {"policy": Player(self)}

    def begin(self, player: str, examples: Examples, *, generator: torch.Generator) -> None:
        """Prepare a player's first move, from data if need be; called again when a run is resumed in its span.

        Meanwhile the family is in evaluation mode.

        Args:
            player: Whose span begins.
            examples: Supplies training windows.
            generator: The same at every call for this player in this run.
        """

    def validation_draws(self, batch: int, *, generator: torch.Generator) -> Draws:
        """Draw everything random that ``validation_loss`` needs."""
        return self.draws(batch, generator=generator)

    def validation_loss(self, data: Chunks, draws: Draws) -> Float[Tensor, ""]:
        """How well held-out windows are explained."""
        return self.loss(data, draws)[0]

    def draws(
        self,
        batch: int,
        *,
        generator: torch.Generator,
        player: str = "policy",
        progress: float | Progress = 0.0,
    ) -> Draws:
        """What ``draw`` draws for so many rows; ``progress`` in [0, 1) is the share of the player's span behind it."""
        return self.draw(DrawSource(batch, generator, player, progress))

    @property
    def is_deterministic(self) -> bool:
        """Whether nothing of a sample is random, so that all samples of an observation are the same chunk."""
        return self.noise_shape is not None and math.prod(self.noise_shape) == 0

    def noise(self, batch: int, *, generator: torch.Generator) -> Float[Tensor, "b ..."]:
        """Draw everything random that sampling a batch needs: standard normal, leading axis ``batch``."""
        shape = self.chunk_shape if self.noise_shape is None else self.noise_shape
        return standard_normal(batch, *shape, generator=generator)

    def reconfigure(self, **changes: Any) -> None:
        """Change run-time choices such as the sampler or its number of steps; None leaves a choice as it is.

        Raises:
            UserError: The family has no such choice, or the value is not valid.
        """
        changes = {name: value for name, value in changes.items() if value is not None}
        runtime = [f.name for f in dataclasses.fields(self.cfg) if f.metadata.get("runtime")]
        for name in changes:
            if name not in runtime:
                raise UserError(f"{type(self).__name__} has no run-time choice {name!r}; it has: {runtime or 'none'}")
        self.cfg = dataclasses.replace(self.cfg, **changes)


class SampledFamily(Family):
    """A family whose training losses say nothing about its samples: these are judged by their energy score."""

    def validation_draws(self, batch: int, *, generator: torch.Generator) -> Draws:
        """Draw the noise of two samples."""
        return {name: self.noise(batch, generator=generator) for name in ("first", "second")}

    def validation_loss(self, data: Chunks, draws: Draws) -> Float[Tensor, ""]:
        """Energy score of two samples per window."""
        first, second = (self.sample(data.cond, draws[name]) for name in ("first", "second"))
        return energy_score(first, second, data.actions, data.mask)

"""What every family of policies is: the mathematics of a conditional distribution over action chunks.

A family works in normalised action space only and never draws random numbers itself: everything random is
drawn first (``draws`` for the loss, ``noise`` for sampling) and passed in. Loss and sampling are then
deterministic functions, which gives common random numbers across ensemble members, equal losses on one
process and on many, and a network that can be studied over a box of noise.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from robolearn.nets.backbone import Backbone, Head

Draws = dict[str, Tensor]
# Given n, that many training windows: condition [n, o, c], actions [n, t, a] and mask [n, t], as ``loss`` gets them.
Examples = Callable[[int], tuple[Tensor, Tensor, Tensor]]


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

    def __post_init__(self) -> None:
        assert 0 <= self.span[0] < self.span[1] <= 1, self.span
        assert self.every >= 1, self.every


MAX_STEPS = 10_000  # network evaluations of a sample; more can only be a mistake


class Family(nn.Module, ABC):
    """A conditional distribution p(actions | cond) over chunks [t, a], normalised to [-1, 1]."""

    def __init__(self, cfg: Any, action_horizon: int, action_dim: int):
        super().__init__()
        self.cfg = cfg
        self.chunk_shape = (action_horizon, action_dim)

    def players(self) -> dict[str, Player]:
        """Who is trained, in the order of their moves; an adversarial family has two."""
        return {"policy": Player(self)}

    def begin(self, player: str, examples: Examples, *, generator: torch.Generator) -> None:
        """Prepare a player's first move, from data if need be; called again when a run is resumed in its span.

        Args:
            player: Whose span begins.
            examples: Supplies training windows.
            generator: The same at every call for this player in this run.
        """

    @abstractmethod
    def draws(self, batch: int, *, generator: torch.Generator, player: str = "policy", progress: float = 0.0) -> Draws:
        """Draw everything random that a player's loss of a batch needs; every leading axis is ``batch``.

        ``progress`` in [0, 1) is the share of the player's span that lies behind, for schedules.
        """

    @abstractmethod
    def loss(
        self,
        actions: Float[Tensor, "b t a"],
        cond: Float[Tensor, "b o c"],
        mask: Bool[Tensor, "b t"],
        draws: Draws,
        *,
        player: str = "policy",
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Loss of one player and numbers worth logging; steps where ``mask`` is False do not count."""

    def validation_draws(self, batch: int, *, generator: torch.Generator) -> Draws:
        """Draw everything random that ``validation_loss`` needs."""
        return self.draws(batch, generator=generator)

    def validation_loss(
        self,
        actions: Float[Tensor, "b t a"],
        cond: Float[Tensor, "b o c"],
        mask: Bool[Tensor, "b t"],
        draws: Draws,
    ) -> Float[Tensor, ""]:
        """How well held-out windows are explained."""
        return self.loss(actions, cond, mask, draws)[0]

    @abstractmethod
    def noise(self, batch: int, *, generator: torch.Generator) -> Float[Tensor, "b ..."]:
        """Draw everything random that sampling a batch needs: standard normal, leading axis ``batch``."""

    @abstractmethod
    def sample(self, cond: Float[Tensor, "b o c"], noise: Float[Tensor, "b ..."]) -> Float[Tensor, "b t a"]:
        """Map conditions and noise to chunks, deterministically."""

    @property
    @abstractmethod
    def nfe(self) -> int:
        """Network evaluations per sampled chunk."""

    def reconfigure(self, **changes: Any) -> None:
        """Change run-time choices such as the sampler or its number of steps; None leaves a choice as it is.

        Raises:
            ValueError: The family has no such choice, or the value is not valid.
        """
        changes = {name: value for name, value in changes.items() if value is not None}
        runtime = [f.name for f in dataclasses.fields(self.cfg) if f.metadata.get("runtime")]
        for name in changes:
            if name not in runtime:
                raise ValueError(f"{type(self).__name__} has no run-time choice {name!r}; it has: {runtime or 'none'}")
        self.cfg = dataclasses.replace(self.cfg, **changes)


class SampledFamily(Family):
    """A family whose training losses say nothing about its samples: these are judged by their energy score."""

    def validation_draws(self, batch: int, *, generator: torch.Generator) -> Draws:
        """Draw the noise of two samples."""
        return {name: self.noise(batch, generator=generator) for name in ("first", "second")}

    def validation_loss(
        self,
        actions: Float[Tensor, "b t a"],
        cond: Float[Tensor, "b o c"],
        mask: Bool[Tensor, "b t"],
        draws: Draws,
    ) -> Float[Tensor, ""]:
        """Energy score of two samples per window."""
        return energy_score(self.sample(cond, draws["first"]), self.sample(cond, draws["second"]), actions, mask)


def standard_normal(batch: int, *shape: int, generator: torch.Generator) -> Float[Tensor, "b ..."]:
    """Draw from N(0, I) on the generator's device."""
    return torch.randn(batch, *shape, generator=generator, device=generator.device)


def choose(logits: Float[Tensor, "b k"], noise: Float[Tensor, " b"]) -> Int[Tensor, " b"]:
    """Draw from categorical distributions by inverting their cumulative sums at Phi(noise)."""
    cumulative = logits.softmax(1, dtype=torch.float64).cumsum(1)
    place = torch.searchsorted(cumulative, torch.special.ndtr(noise.double())[:, None])
    return place[:, 0].clamp(max=logits.shape[1] - 1)


def race(logits: Float[Tensor, "b k"], noise: Float[Tensor, "b k"], temperature: float = 1.0) -> Int[Tensor, " b"]:
    """Draw from categorical distributions by the Gumbel-max trick, with -log(-log Phi(noise)) as Gumbel noise.

    A third of the time of ``choose``, which can do with one number per draw.
    """
    return torch.sub(logits, (-torch.special.log_ndtr(noise)).log(), alpha=temperature).argmax(1)


def perplexity(shares: Float[Tensor, "*m k"]) -> Float[Tensor, "*m"]:
    """How many of k codes are in use: the number of equally frequent ones with the same entropy."""
    return torch.exp(-(shares * shares.clamp(min=1e-9).log()).sum(-1))


def chunk_distance(
    x: Float[Tensor, "b t a"], y: Float[Tensor, "b t a"], mask: Bool[Tensor, "b t"]
) -> Float[Tensor, " b"]:
    """Euclidean distance over the valid steps, divided by the root of the chunk's size."""
    return ((x - y) * mask[:, :, None]).flatten(1).norm(dim=1) / math.sqrt(x[0].numel())


def energy_score(
    first: Float[Tensor, "b t a"],
    second: Float[Tensor, "b t a"],
    actions: Float[Tensor, "b t a"],
    mask: Bool[Tensor, "b t"],
) -> Float[Tensor, ""]:
    """E|x - a| - E|x - x'| / 2 from two independent samples per condition; least for the true distribution.

    Source: Gneiting and Raftery 2007, eq. 22; |.| is ``chunk_distance``.
    """
    to_data = chunk_distance(first, actions, mask) + chunk_distance(second, actions, mask)
    return 0.5 * (to_data - chunk_distance(first, second, mask)).mean()


def runtime(default: Any) -> Any:
    """Declare a configuration field that may change after training."""
    return dataclasses.field(default=default, metadata={"runtime": True})


def masked_mean(error: Float[Tensor, "b t a"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, ""]:
    """Mean over the chunk with padded steps counted as zero error.

    The denominator is the full size, not the number of valid steps: every recorded step then has the same
    weight in every batch, and the mean over shards of a batch equals the mean over the batch.
    """
    return (error * mask[:, :, None]).mean()


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise a ValueError that lists the choices if ``value`` is none of them."""
    if value not in choices:
        raise ValueError(f"{name} {value!r} is unknown; choose from {', '.join(choices)}")


def check_steps(name: str, steps: int, most: int | None = None) -> None:
    """Raise a ValueError unless 1 <= steps (<= most)."""
    if steps < 1 or (most is not None and steps > most):
        raise ValueError(f"{name}: steps {steps} must be {'at least 1' if most is None else f'in 1..{most}'}")
    if max(steps, most or 0) > MAX_STEPS:
        raise ValueError(f"{name}: steps {max(steps, most or 0)} must be at most {MAX_STEPS}")

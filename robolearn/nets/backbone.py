"""What every backbone is, and the parts they share: the time embedding, FiLM and a small head.

A backbone maps a chunk and a condition to a chunk. It does not know which family calls it: a family passes
the noised actions and one time, several times (flow maps) or none (regression).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class Shapes:
    """The sizes a backbone is built for."""

    dim_in: int
    """Channels of the incoming chunk."""
    dim_out: int
    """Channels of the outgoing chunk."""
    action_horizon: int
    """Steps in a chunk."""
    obs_horizon: int
    """Observation tokens."""
    cond_dim: int
    """Channels of an observation token."""
    num_times: int
    """Time arguments of the family: 0 for regression, 1 for diffusion and flow."""
    dropout: float = 0.0
    """Share of channels that the family wants dropped in training, where the backbone's options leave it open."""

    def dropped(self, share: float | None) -> float:
        """What an option says, or the family's share where it is open."""
        return self.dropout if share is None else share


@runtime_checkable
class Backbone(Protocol):
    """Any network that any family can drive."""

    def __call__(
        self,
        x: Float[Tensor, "b t d_in"],
        cond: Float[Tensor, "b o c"],
        time: Float[Tensor, "b k"] | None = None,
    ) -> Float[Tensor, "b t d_out"]:
        """Map a chunk, observation tokens and times in [0, 1] to a chunk."""
        ...


class BackboneConfig(ABC):
    """Options of a backbone: a frozen dataclass, every field with a default, of which a run keeps the values.

    What stands in `robolearn.policies.registry.BACKBONES` may be trained by name.
    """

    @abstractmethod
    def build(self, shapes: Shapes) -> Backbone:
        """Build the network."""


class TimeEmbedding(nn.Module):
    """Sinusoids of each time in [0, 1], then a two-layer MLP (Vaswani et al. 2017, section 3.5).

    With ``num_times == 0`` it is a learned constant, so that callers need no branch.
    """

    frequencies: Tensor

    def __init__(self, num_times: int, width: int, num_frequencies: int = 32):
        super().__init__()
        # Times lie in [0, 1]; the classical embedding expects integer steps up to about 1000.
        exponents = torch.arange(num_frequencies) / (num_frequencies - 1)
        self.register_buffer("frequencies", 1000.0 * torch.exp(-math.log(10_000.0) * exponents), persistent=False)
        self.num_times, self.width = num_times, width
        self.mlp = nn.Sequential(
            nn.Linear(max(num_times, 1) * 2 * num_frequencies, width), nn.SiLU(), nn.Linear(width, width)
        )

    def forward(self, time: Float[Tensor, "b k"] | None, batch: int) -> Float[Tensor, "b w"]:
        """Embed the times; ``batch`` gives the leading size where there are none."""
        if self.num_times == 0:
            time = self.frequencies.new_zeros(1, 1)  # one row for all: a tenth of a step is saved
        assert time is not None, "this backbone was built for a family with a time"
        angles = (time[:, :, None] * self.frequencies).flatten(1)
        return self.mlp(torch.cat([angles.sin(), angles.cos()], dim=1)).expand(batch, -1)


class FiLM(nn.Module):
    """Feature-wise scale and shift from a condition vector (Perez et al. 2018), identity at the start."""

    def __init__(self, cond_dim: int, channels: int):
        super().__init__()
        self.linear = nn.Linear(cond_dim, 2 * channels)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Float[Tensor, "b d *n"], cond: Float[Tensor, "b c"]) -> Float[Tensor, "b d *n"]:
        """Modulate the channels, axis 1 of ``x``."""
        scale, shift = self.linear(cond).chunk(2, dim=-1)
        trailing = (1,) * (x.dim() - 2)
        scale, shift = (s.view(*s.shape, *trailing) for s in (scale, shift))
        return torch.addcmul(x + shift, x, scale)


class Head(nn.Module):
    """Two-layer MLP from numbers and observations to numbers, for what is no chunk: a prior, a code's logits.

    Args:
        dim_in: Numbers beside the observations; may be 0.
        dim_out: Numbers.
        cond_size: Numbers in the flattened observation tokens.
        width: Channels in between.
    """

    def __init__(self, dim_in: int, dim_out: int, cond_size: int, width: int = 256):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(dim_in + cond_size, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, dim_out),
        )

    def forward(self, x: Float[Tensor, "b d_in"], cond: Float[Tensor, "b o c"]) -> Float[Tensor, "b d_out"]:
        """Map numbers and observation tokens to numbers."""
        return self.net(torch.cat([x, cond.flatten(1)], dim=1))

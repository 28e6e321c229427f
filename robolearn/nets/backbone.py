"""What every backbone is, and the parts they share: the time embedding, FiLM and a small head.

A backbone maps a chunk and a condition to a chunk. It does not know which family calls it: a family passes
the noised actions and one time, several times (flow maps) or none (regression).

A sampler asks its backbone many times about one observation, at times that are known before. `condition` shows it the
observations and all times once, and what comes back is asked for chunk after chunk:

    denoise = condition(net, cond, times)  # [b, o, c] and [s, k]
    for step in range(len(times)):
        x = ... denoise(x, step) ...
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

ROWS_AHEAD = 512
"""Observations times evaluations for which a backbone prepares at once: more would be a matter of memory alone."""

T = TypeVar("T")
Conditioned = Callable[[Tensor, int], Tensor]  # a chunk [b, t, d_in] and the number of a time -> [b, t, d_out]
Factors = tuple[Tensor, Tensor]  # FiLM's scale, about one, and shift [..., d]


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


@runtime_checkable
class Conditionable(Protocol):
    """A backbone that says which part of its work the chunk does not take part in."""

    def condition(self, cond: Float[Tensor, "b o c"], times: Float[Tensor, "s k"]) -> Conditioned:
        """See `condition`."""
        ...


def condition(net: Backbone, cond: Float[Tensor, "b o c"], times: Float[Tensor, "s k"]) -> Conditioned:
    """Show a backbone the observations and the times of all evaluations to come.

    Args:
        net: Does here what depends on these alone, if it has a method of this name; else it is asked as in training.
        cond: Observation tokens.
        times: Of each evaluation, the same for all rows.

    Returns:
        What maps a chunk, and the number of a time, to a chunk.
    """
    if isinstance(net, Conditionable):
        return net.condition(cond, times)
    return lambda x, step: net(x, cond, times[step].expand(len(x), -1))


def ahead(make: Callable[[Tensor], Sequence[T]], times: Float[Tensor, "s k"], rows: int) -> Callable[[int], T]:
    """What evaluations need, made for several at once: the weights are then read once for all of them.

    Args:
        make: Times [n, k] -> what each of the n evaluations needs.
        times: Of all evaluations.
        rows: Observations, for each of which it is made.

    Returns:
        Number of a time -> what was made for it; numbers that come one after the other cost least.
    """
    count, kept = max(1, ROWS_AHEAD // rows), dict[int, Sequence[T]]()

    def at(step: int) -> T:
        first = step - step % count
        if first not in kept:
            kept.clear()
            kept[first] = make(times[first : first + count])
        return kept[first][step - first]

    return at


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
        # On the host, as arithmetic without memory would import torch's compiler; see unallocated.py.
        exponents = torch.arange(num_frequencies, device="cpu") / (num_frequencies - 1)
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

    def forward(self, cond: Float[Tensor, "*n c"]) -> Factors:
        """Scale and shift of the channels, [*n, d] each."""
        return as_factors(self.linear(cond))


def as_factors(scale_and_shift: Float[Tensor, "*n d2"]) -> Factors:
    """Scale and shift from what FiLM's layer gives."""
    scale, shift = scale_and_shift.chunk(2, dim=-1)
    return scale, shift


def modulate(x: Float[Tensor, "b d *n"], factors: Factors) -> Float[Tensor, "b d *n"]:
    """Modulate the channels, axis 1 of ``x``, with factors [b, d]."""
    trailing = (1,) * (x.dim() - 2)
    scale, shift = (one.view(*one.shape, *trailing) for one in factors)
    return torch.addcmul(x + shift, x, scale)


def by_step(films: Sequence[Factors]) -> list[tuple[Factors, ...]]:
    """Factors [n, b, d] of several layers as those [b, d] of each of n evaluations, layer by layer."""
    return list(zip(*(zip(scale.unbind(), shift.unbind(), strict=True) for scale, shift in films), strict=True))


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

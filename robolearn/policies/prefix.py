"""Prefix conditioning: a chunk goes on from actions that are decided already.

While a policy computes, the robot executes the first actions of the coming chunk from the previous one. A policy that
knows them goes on from them instead of jumping to a chunk of its own. Training shows a random number of the
demonstrated chunk's first actions as a part of the condition (Black et al. 2025, arXiv:2512.05964, without their change
of the loss). That serves every family, also those with one evaluation; freezing the first actions while sampling
(real-time chunking, arXiv:2506.07339) needs many.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

LENGTH = "prefix.length"


@dataclass(frozen=True)
class Prefix:
    """The first actions of a chunk, in physical units, of which ``length`` are known, the others do not count."""

    actions: Float[Tensor, "b p a"]
    length: Int[Tensor, " b"]

    def to(self, device: torch.device) -> Prefix:
        """Move to a device."""
        return Prefix(self.actions.to(device), self.length.to(device))


def prefix_draws(batch: int, prefix_horizon: int, *, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw how many actions are known in training, each number in 0..prefix_horizon alike; nothing without any."""
    if prefix_horizon == 0:
        return {}
    return {LENGTH: torch.randint(prefix_horizon + 1, (batch,), generator=generator, device=generator.device)}


def prefix_dim(prefix_horizon: int, action_dim: int) -> int:
    """Channels that a prefix adds to the condition."""
    return prefix_horizon * (action_dim + 1)


def prefix_features(actions: Float[Tensor, "b p a"], length: Int[Tensor, " b"]) -> Float[Tensor, "b d"]:
    """Flatten the known actions, normalized, with zeros for the unknown ones and a flag that tells them apart."""
    known = torch.arange(actions.shape[1], device=actions.device) < length[:, None]
    return torch.cat([actions * known[..., None], known[..., None].to(actions)], dim=2).flatten(1)

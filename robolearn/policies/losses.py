"""What losses are made of: means over valid steps, distances of chunks, the score of samples."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def masked_mean(error: Float[Tensor, "b t a"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, ""]:
    """Mean over the chunk with padded steps counted as zero error.

    The denominator is the full size, not the number of valid steps: every recorded step then has the same
    weight in every batch, and the mean over shards of a batch equals the mean over the batch.
    """
    return (error * mask[:, :, None]).mean()


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


def perplexity(shares: Float[Tensor, "*m k"]) -> Float[Tensor, "*m"]:
    """How many of k codes are in use: the number of equally frequent ones with the same entropy."""
    return torch.exp(-(shares * shares.clamp(min=1e-9).log()).sum(-1))

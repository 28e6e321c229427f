"""Chunks relative to where they start, in units of their own spread.

    a = start(o) + reach * x,    start(o) linear in the last observation, x what the family learns, of unit variance

A target of position is mostly where the robot stands. Of the range that a number has over all demonstrations, what is
still open once the observation is known is a twentieth for the first step of a chunk, and grows with the steps. A
family that starts from noise as wide as the whole range has to be right to a fraction of a twentieth before its chunks
mean anything: it learns that slowly, and its last steps of sampling decide nothing but digits. In units of the reach
the noise is as wide as what is open, at every step of the chunk.

The first action of a velocity is decided and not known before, so that there ``start`` is hardly more than a mean.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from robolearn.policies.anchor import predict_first

ChunkFrameKind = Literal["absolute", "relative", "scaled"]
NUM_EXAMPLES = 20_000  # windows from which a frame is found
RARE = 1e-3  # share of the longest ways, which are cut to the longest of the others: a single jerk is no reach
LEAST_REACH = 1e-3  # normalized actions; what never changes is not blown up


class ChunkFrame(nn.Module):
    """Maps chunks of normalized actions into what a family learns, and back; as it is, into themselves.

    Attributes:
        start_dim: Numbers of a start.
        limit: What a family learns lies between this and its negative, all of it or nearly.
    """

    start_dim = 0
    limit = 1.0

    def start(self, state: Float[Tensor, "b d"]) -> Float[Tensor, "b 1 s"]:
        """Where chunks start; state is the last observation as the network sees it, images aside."""
        return state[:, None, :0]

    def enter(self, actions: Float[Tensor, "b t a"], start: Float[Tensor, "b 1 s"]) -> Float[Tensor, "b t a"]:
        """What the family sees of normalized actions."""
        return actions

    def leave(self, chunks: Float[Tensor, "b t a"], start: Float[Tensor, "b 1 s"]) -> Float[Tensor, "b t a"]:
        """Normalized actions of the family's chunks."""
        return chunks


class RelativeFrame(ChunkFrame):
    """Chunks relative to where they start; see above.

    Args:
        state_dim: Numbers of an observation as the network sees it, images aside.
        chunk_shape: Steps and action dimensions.
    """

    limit = 5.0  # few numbers of unit variance lie beyond

    weight: Tensor
    bias: Tensor
    reach: Tensor

    def __init__(self, state_dim: int, chunk_shape: tuple[int, int]):
        super().__init__()
        self.start_dim = chunk_shape[1]
        self.register_buffer("weight", torch.zeros(chunk_shape[1], state_dim))
        self.register_buffer("bias", torch.zeros(chunk_shape[1]))
        self.register_buffer("reach", torch.ones(chunk_shape))

    @torch.no_grad()
    def fit(self, state: Float[Tensor, "n d"], actions: Float[Tensor, "n t a"], mask: Bool[Tensor, "n t"]) -> None:
        """Find where chunks start, and how far each of their steps goes from there, in root mean square.

        A start counts for the share of the variance of first actions that it explains on examples it was not fitted
        to; the rest is their mean.

        Args:
            state: The last observation of each window, as the network sees it.
            actions: Its chunk, normalized.
            mask: Steps that were recorded; the first one is.
        """
        weight, share = predict_first(state, actions[:, 0])
        weight = weight * share
        weight[-1] += (1 - share) * actions[:, 0].double().mean(0).cpu()
        self.weight.copy_(weight[:-1].T)
        self.bias.copy_(weight[-1])
        distance = (actions - self.start(state)).abs().masked_fill(~mask[:, :, None], torch.nan)
        most = torch.stack([step.nanquantile(1 - RARE, dim=0) for step in distance.unbind(1)])
        # Where demonstrations are shorter than a chunk, its last steps were never recorded and count as the first.
        reach = distance.minimum(most).square().nanmean(dim=0).sqrt()
        self.reach.copy_(torch.where(reach.isnan(), reach[:1], reach).clamp(min=LEAST_REACH))

    def start(self, state: Float[Tensor, "b d"]) -> Float[Tensor, "b 1 a"]:
        """Where chunks start, in normalized actions; in float32 also under autocast, since actions have its digits."""
        with torch.autocast(state.device.type, enabled=False):
            return nn.functional.linear(state.float(), self.weight, self.bias)[:, None]

    def enter(self, actions: Float[Tensor, "b t a"], start: Float[Tensor, "b 1 a"]) -> Float[Tensor, "b t a"]:
        """What the family sees of normalized actions."""
        return (actions - start) / self.reach

    def leave(self, chunks: Float[Tensor, "b t a"], start: Float[Tensor, "b 1 a"]) -> Float[Tensor, "b t a"]:
        """Normalized actions of the family's chunks."""
        return start + self.reach * chunks


class ScaledFrame(RelativeFrame):
    """Chunks relative to their mean, in units of how far each of their steps spreads from it.

    For numbers that are a change already, such as velocities, and whose observations hang together: a linear start is
    then a sum of large parts that cancel, and far off as soon as one observation is a little beside the others.
    """

    @torch.no_grad()
    def fit(self, state: Float[Tensor, "n d"], actions: Float[Tensor, "n t a"], mask: Bool[Tensor, "n t"]) -> None:
        """Find mean and spread of the steps that were recorded; see RelativeFrame, also for the arguments.

        Rare ways are not cut: what hardly ever changes would have no spread, and then be far beyond it.
        """
        self.bias.copy_(actions[mask].mean(0))
        away = torch.where(mask[:, :, None], actions - self.bias, torch.nan)
        spread = away.square().nanmean(dim=0).sqrt()
        never = spread.isnan()  # where all recordings are shorter than a chunk
        self.reach.copy_(torch.where(never, spread[:1], spread).clamp(min=LEAST_REACH))


FRAMES: dict[ChunkFrameKind, type[RelativeFrame]] = {"relative": RelativeFrame, "scaled": ScaledFrame}

"""Chunks relative to where they start, as far as the observation tells where that is.

A target of position is mostly where the robot stands: quantized as it is, codes are spent on places that the
observation knows, and what is left for the modes is coarse. The first action of a velocity is part of what is decided,
and must stay. Which of both an action is, is found in the data, number by number.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

LEAST_VARIANCE = 1e-8  # squared normalized actions; a number that never changes needs no telling


class Anchor(nn.Module):
    """Subtracts from a chunk the share of its first action that the observation predicts.

    Args:
        action_dim: Numbers per action.
    """

    share: Tensor

    def __init__(self, action_dim: int):
        super().__init__()
        self.register_buffer("share", torch.zeros(action_dim))

    @torch.no_grad()
    def fit(self, cond: Float[Tensor, "n o c"], actions: Float[Tensor, "n t a"]) -> None:
        """Find how much of the variance of first actions a linear function of the observation explains."""
        self.share.copy_(predict_first(cond.flatten(1), actions[:, 0])[1])

    def forward(self, actions: Float[Tensor, "b t a"]) -> Float[Tensor, "b t a"]:
        """What is left to be decided."""
        return actions - self.share * actions[:, :1]


def predict_first(
    features: Float[Tensor, "n d"], first: Float[Tensor, "n a"]
) -> tuple[Float[Tensor, "d1 a"], Float[Tensor, " a"]]:
    """The linear function of features, and a one, that is nearest to first actions, and the share that it explains.

    The share is of their variance. The function is fitted to one half of the examples and judged by the other, so that
    many features and few examples explain nothing. Both come in float64 on the CPU, the share in [0, 1] for each
    number of an action.
    """
    x = torch.cat([features, features.new_ones(len(features), 1)], dim=1).double().cpu()
    y, half = first.double().cpu(), len(features) // 2
    # Features may depend on each other, as those of an untrained encoder: the least of all solutions.
    weights = torch.linalg.lstsq(x[:half], y[:half], driver="gelsd").solution
    error = (x[half:] @ weights - y[half:]).square().mean(0)
    variance = y[half:].var(0, correction=0).clamp(min=LEAST_VARIANCE)
    return weights, (1 - error / variance).clamp(0, 1)

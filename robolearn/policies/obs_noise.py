"""Noise on observations in training, against policies that go by digits which mean nothing to the demonstrator.

Demonstrators keep moving the way they move, so that their next action is read off their last motion more easily than
off the task (the copycat problem, Wen et al. 2020). A policy that learned this stands still for good once it is stopped
by chance. Noise hides slow motion, and small distances, behind which the task has to be looked at. It also smooths the
policy as a penalty on its gradient does (Bishop 1995).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

NOISE = "obs.noise"


def obs_noise_draws(
    batch: int, obs_horizon: int, state_dim: int, std: float, *, generator: torch.Generator
) -> dict[str, Tensor]:
    """Draw noise for low-dimensional observations, each step of a history its own; nothing without any.

    Args:
        batch: Windows.
        obs_horizon: Observations in a window.
        state_dim: Numbers of an observation that are no image's.
        std: Standard deviation, in normalized units: 1 is half the range of a number.
        generator: On the device of the policy.

    Returns:
        Noise [batch, obs_horizon, state_dim].
    """
    if std == 0:
        return {}
    shape = batch, obs_horizon, state_dim
    return {NOISE: std * torch.randn(shape, generator=generator, device=generator.device)}


def with_noise(cond: Float[Tensor, "b o c"], noise: Float[Tensor, "b o d"]) -> Float[Tensor, "b o c"]:
    """Add the noise to the first channels of the condition, the observations; images and prefix follow them."""
    return cond + torch.nn.functional.pad(noise, (0, cond.shape[2] - noise.shape[2]))

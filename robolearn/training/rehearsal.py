"""What is asked of a family for the first time when a training is saved or over, tried behind its first step."""

from __future__ import annotations

import torch
from torch.random import fork_rng

from robolearn import seeds
from robolearn.data.windows import Windows
from robolearn.policies.policy import Policy


@torch.no_grad()
def rehearse(policy: Policy, validation: Windows | None) -> None:
    """Sample a chunk and explain a held-out window, as a checkpoint of this step would be asked to.

    No random stream of the training goes on, and no number is kept.

    Args:
        policy: The moving average, which is what acts.
        validation: Held-out windows, if any.

    Raises:
        UserError: The family returns something else than it promises.
    """
    device = policy.device
    generator = torch.Generator(device).manual_seed(seeds.FIXED)
    with fork_rng([device] if device.type == "cuda" else []):
        policy.sample(policy.blank(), 2, generator=generator)
        if validation is not None:
            batch = validation.batch(torch.zeros(2, dtype=torch.int64, device=device))
            policy.validation_loss(batch, policy.validation_draws(2, generator=generator))

"""What is asked of a family for the first time when a training is saved or over, tried behind its first step."""

from __future__ import annotations

import torch
from torch.random import fork_rng

from robolearn import seeds
from robolearn.data.windows import Windows
from robolearn.errors import UserError
from robolearn.policies.policy import Policy


@torch.no_grad()
def rehearse(policy: Policy, validation: Windows | None) -> None:
    """Sample a chunk and explain a held-out window, as a checkpoint of this step would be asked to.

    No random stream of the training goes on, and no number is kept.

    Args:
        policy: The moving average, which is what acts.
        validation: Held-out windows, if any.

    Raises:
        UserError: The family returns something else than it promises, numbers that are not finite, or other chunks of
            the same noise.
    """
    device = policy.device
    generator = torch.Generator(device).manual_seed(seeds.FIXED)
    with fork_rng([device] if device.type == "cuda" else []):
        _sample_again(policy, generator)
        if validation is not None:
            batch = validation.batch(torch.zeros(2, dtype=torch.int64, device=device))
            policy.validation_loss(batch, policy.validation_draws(2, generator=generator))


def _sample_again(policy: Policy, generator: torch.Generator) -> None:
    """Sample from the same noise twice: what a family draws for itself is in no seed, and in no other runtime."""
    start = generator.get_state()
    first = policy.sample(policy.blank(), 2, generator=generator)
    again = policy.sample(policy.blank(), 2, generator=generator.set_state(start))
    family = type(policy.family).__name__
    if not first.isfinite().all():
        raise UserError(f"behind the first step {family}.sample gave chunks that are not finite; a lower `lr` may help")
    if not torch.allclose(first, again, rtol=1e-2, atol=1e-2 * float(first.std()), equal_nan=True):  # of a GPU's sums
        raise UserError(f"{family}.sample gave two chunks of one noise; what is random in it must come from its noise")

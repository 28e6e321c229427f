"""Scores that need the policy itself: how badly it denoises a chunk, and what its dropout would have done.

Arithmetic on what these return is in samples.py.
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from robolearn.nets.dropout import fixed_dropout
from robolearn.policies.diffusion import Diffusion
from robolearn.policies.family import Draws, Family
from robolearn.policies.flow import Flow
from robolearn.policies.flowmap import FlowMap
from robolearn.policies.mixture import Mixture
from robolearn.policies.policy import Policy
from robolearn.policies.score import Score
from robolearn.types import Batch

# Families whose loss tells how probable the given chunk is, and the player whose loss that is. The mixture's student
# and a generator never see the chunk; regression and mip are trained to the very chunk that they execute.
DENOISERS: dict[type[Family], str] = {
    Diffusion: "policy",
    Score: "policy",
    Flow: "policy",
    FlowMap: "policy",
    Mixture: "teacher",
}


def denoising_draws(policy: Policy, num_draws: int, *, generator: torch.Generator) -> Draws:
    """Draw noise and noise levels for `denoising_loss`; the same ones at every step make its values comparable.

    Raises:
        ValueError: The policy does not denoise.
    """
    return policy.family.draws(num_draws, generator=generator, player=_denoiser(policy))


@torch.no_grad()
def denoising_loss(
    policy: Policy, obs: dict[str, Tensor], chunks: Float[Tensor, "b t a"], draws: Draws
) -> Float[Tensor, " b"]:
    """Diff-DAgger: training loss of each chunk at its observation, the mean over draws of noise and level.

    One call of the family per observation, each with as many rows as draws: a family's loss is a mean over its batch.

    Args:
        policy: In evaluation mode.
        obs: Key -> [b, o, ...] in physical units.
        chunks: To be judged, in physical units, such as those about to be executed.
        draws: `denoising_draws`.

    Source: Lee et al. 2024, Diff-DAgger, arXiv:2410.14868.

    Raises:
        ValueError: The policy does not denoise.
    """
    player, mask = _denoiser(policy), torch.ones(chunks.shape[:2], dtype=torch.bool, device=chunks.device)
    batch = policy.turned(Batch(obs, chunks, mask), {})
    cond, actions = policy.encode(batch.obs), policy.normalizer.normalize("action", batch.actions)
    num_draws = len(next(iter(draws.values())))

    def repeated(x: Tensor, i: int) -> Tensor:
        return x[i : i + 1].expand(num_draws, *x.shape[1:])

    def row_loss(i: int) -> Tensor:
        return policy.family.loss(repeated(actions, i), repeated(cond, i), repeated(mask, i), draws, player=player)[0]

    return torch.stack([row_loss(i) for i in range(len(chunks))])


@torch.no_grad()
def dropout_members(
    policy: Policy,
    obs: dict[str, Tensor],
    noise: Float[Tensor, "m ..."],
    num_members: int,
    *,
    generator: torch.Generator,
) -> Float[Tensor, "k b n t a"]:
    """MC dropout: normalised chunks of members that are the policy with other channels dropped.

    A member's channels stay dropped for all its samples, and all members get the same noise, as in an ensemble:
    `energy_disagreement` and the other scores of members take them as they are.

    Args:
        policy: In evaluation mode, trained with dropout.
        obs: Key -> [b, o, ...] in physical units.
        noise: n rows per observation, from `policy.family.noise`; the first n are the first observation's.
        num_members: Masks k.
        generator: On the policy's device; draws the masks.

    Source: Gal and Ghahramani 2016, arXiv:1506.02142.

    Raises:
        ValueError: The policy has no dropout.
    """
    chunks = []
    for _ in range(num_members):
        with fixed_dropout(policy, generator=generator):
            chunks.append(policy.normalizer.normalize("action", policy.act(obs, noise)))
    return rearrange(torch.stack(chunks), "k (b n) t a -> k b n t a", b=len(next(iter(obs.values()))))


def _denoiser(policy: Policy) -> str:
    for kind, player in DENOISERS.items():
        if isinstance(policy.family, kind):
            return player
    names = ", ".join(kind.__name__.lower() for kind in DENOISERS)
    raise ValueError(f"family {type(policy.family).__name__.lower()} does not denoise chunks; choose from {names}")

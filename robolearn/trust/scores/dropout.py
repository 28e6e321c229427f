"""What a policy's dropout would have done: members that are the policy with other channels dropped."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from robolearn import seeds
from robolearn.nets.dropout import fixed_dropout
from robolearn.policies.ensemble import Ensemble
from robolearn.policies.policy import Policy
from robolearn.trust.scores.samples import energy_disagreement
from robolearn.trust.scores.score import Evidence, Score

NUM_MEMBERS = 5


@torch.no_grad()
def dropout_members(
    policy: Policy,
    obs: dict[str, Tensor],
    noise: Float[Tensor, "m ..."],
    num_members: int,
    *,
    generator: torch.Generator,
) -> Float[Tensor, "k b n t a"]:
    """MC dropout: normalized chunks of members that are the policy with other channels dropped.

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
        UserError: The policy has no dropout.
    """
    chunks = []
    for _ in range(num_members):
        with fixed_dropout(policy, generator=generator):
            chunks.append(policy.normalizer.normalize("action", policy.act(obs, noise)))
    return rearrange(torch.stack(chunks), "k (b n) t a -> k b n t a", b=len(next(iter(obs.values()))))


def _disagreement(seen: Evidence) -> Tensor:
    generator = torch.Generator(seen.noise.device).manual_seed(seeds.FIXED)  # the same members at every replanning
    return energy_disagreement(dropout_members(seen.policy, seen.obs, seen.noise, NUM_MEMBERS, generator=generator))


def _check(ensemble: Ensemble, period: int) -> None:
    with fixed_dropout(ensemble.members[0], generator=torch.Generator(ensemble.device)):
        pass


DROPOUT = Score("dropout", _disagreement, _check)

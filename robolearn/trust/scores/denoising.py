"""How badly a policy denoises the chunk that it is about to execute."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from robolearn.errors import UserError
from robolearn.policies.diffusion import Diffusion
from robolearn.policies.draws import Draws
from robolearn.policies.ensemble import Ensemble
from robolearn.policies.family import Family
from robolearn.policies.flow import Flow
from robolearn.policies.flowmap import FlowMap
from robolearn.policies.mixture import Mixture
from robolearn.policies.policy import Policy
from robolearn.policies.score import Score as ScoreFamily
from robolearn.trust.scores.score import Evidence, Score
from robolearn.types import Batch

NUM_DRAWS = 32  # of noise and noise level

# Families whose loss tells how probable the given chunk is, and the player whose loss that is. The mixture's student
# and a generator never see the chunk; regression and mip are trained to the very chunk that they execute.
DENOISERS: dict[type[Family], str] = {
    Diffusion: "policy",
    ScoreFamily: "policy",
    Flow: "policy",
    FlowMap: "policy",
    Mixture: "teacher",
}


def denoising_draws(policy: Policy, num_draws: int, *, generator: torch.Generator) -> Draws:
    """Draw noise and noise levels for `denoising_loss`; the same ones at every step make its values comparable.

    Raises:
        UserError: The policy does not denoise.
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
        UserError: The policy does not denoise.
    """
    player, mask = _denoiser(policy), torch.ones(chunks.shape[:2], dtype=torch.bool, device=chunks.device)
    data = policy.chunks(policy.turned(Batch(obs, chunks, mask), {}), {})
    # Row i of these is (i, i, ...): an index that is made where the data is waits for no device.
    rows = torch.arange(len(data), device=chunks.device)[:, None].expand(-1, len(next(iter(draws.values()))))
    return torch.stack([policy.family.loss(data[row], draws, player=player)[0] for row in rows])


def _denoiser(policy: Policy) -> str:
    for kind, player in DENOISERS.items():
        if isinstance(policy.family, kind):
            return player
    names = ", ".join(kind.__name__.lower() for kind in DENOISERS)
    raise UserError(f"family {type(policy.family).__name__.lower()} does not denoise chunks; choose from {names}")


def _loss(seen: Evidence) -> Tensor:
    generator = torch.Generator(seen.noise.device).manual_seed(seen.seed)  # the same draws at every replanning
    draws = denoising_draws(seen.policy, NUM_DRAWS, generator=generator)
    return denoising_loss(seen.policy, seen.obs, seen.policy.normalizer.unnormalize("action", seen.executed), draws)


def _check(ensemble: Ensemble, period: int) -> None:
    _denoiser(ensemble.members[0])


DENOISING = Score("denoising", _loss, _check)

"""Scores of policies whose distribution is known, so that there is nothing to sample.

Finite ones have K chunks with probabilities: what samples.py estimates from n samples is a sum here; samples converge
to it. A Gaussian process says itself how much its demonstrations leave open. k members, b observations; actions are
normalized.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from robolearn.errors import UserError
from robolearn.policies.ensemble import Ensemble
from robolearn.policies.gp import GP
from robolearn.policies.mixture import Mixture
from robolearn.policies.policy import Policy
from robolearn.trust.scores.samples import check_members
from robolearn.trust.scores.score import Evidence, Score


def exact_energy_disagreement(
    chunks: Float[Tensor, "k b K t a"], probabilities: Float[Tensor, "k b K"]
) -> Float[Tensor, " b"]:
    """Energy distance between the distributions of two members, the mean over all pairs; never negative.

    2 E|x - y| - E|x - x'| - E|y - y'|, of root mean square distances.

    Source: Szekely and Rizzo 2013, Energy statistics.

    Raises:
        UserError: There is one member.
    """
    k, _, num_chunks = chunks.shape[:3]
    if k < 2:
        raise UserError(f"disagreement needs at least 2 members, got {k}")
    points = chunks.flatten(3).transpose(0, 1).flatten(1, 2).double()  # [b, k K, t a]
    mass = probabilities.transpose(0, 1).flatten(1).double()
    distance = torch.cdist(points, points) / math.sqrt(points.shape[2])
    weighted = mass[:, :, None] * distance * mass[:, None]
    blocks = weighted.unflatten(1, (k, num_chunks)).unflatten(3, (k, num_chunks)).sum((2, 4))  # [b, k, k]
    within = blocks.diagonal(dim1=1, dim2=2).sum(1) / k
    between = (blocks.sum((1, 2)) - k * within) / (k * (k - 1))
    return (2 * (between - within)).clamp(min=0).float()  # rounding


def exact_action_entropy(
    chunks: Float[Tensor, "b K t a"], probabilities: Float[Tensor, "b K"], bin_width: float = 0.1
) -> Float[Tensor, " b"]:
    """ACE, action-chunk entropy [nat]: of the histogram of each number, the sum over the chunk.

    Not the entropy of the probabilities, which counts chunks that are nearly alike as different ways.

    Args:
        chunks: Of one member.
        probabilities: Of these.
        bin_width: In normalized actions.

    Source: Roemer et al. 2025, FIPER, arXiv:2510.09459.
    """
    bins = torch.floor(chunks.flatten(2) / bin_width)
    mass = probabilities.double()
    same = (bins[:, :, None] == bins[:, None]).double()  # [b, K, K, t a]
    in_bin = torch.einsum("bijd,bj->bid", same, mass)  # probability of the bin of each
    return -torch.einsum("bid,bi->b", in_bin.clamp(min=1e-300).log(), mass).float()


def admissible_mass(probabilities: Float[Tensor, "*m K"], admissible: Bool[Tensor, "*m K"]) -> Float[Tensor, "*m"]:
    """Probability that a chunk is admissible, in [0, 1]."""
    return (probabilities * admissible).sum(-1)


def _distributions(seen: Evidence) -> tuple[Tensor, Tensor]:
    """Chunks [k, s, K, t, a] in the first member's normalized units, and their probabilities [k, s, K]."""
    distributions = [finite_distribution(member, seen.obs) for member in seen.ensemble.members]
    chunks, probabilities = (torch.stack(part) for part in zip(*distributions, strict=True))
    return seen.ensemble.normalize(chunks), probabilities


def finite_distribution(
    policy: Policy, obs: dict[str, Tensor]
) -> tuple[Float[Tensor, "b K t a"], Float[Tensor, "b K"]]:
    """All chunks that a policy can sample, in physical units, and their probabilities.

    Args:
        policy: Of a mixture with a finite distribution.
        obs: Key -> [b, o, ...] in physical units.

    Raises:
        UserError: The distribution is not finite.
    """
    symmetry = policy.canonical
    if symmetry is None:
        return _distribution(policy, obs)
    times = symmetry.to_canonical(obs)
    chunks, probabilities = _distribution(policy, symmetry.turn_all(obs, times))
    back = -times.repeat_interleave(chunks.shape[1])
    return symmetry.turn("action", chunks.flatten(0, 1), back).unflatten(0, chunks.shape[:2]), probabilities


def _distribution(policy: Policy, obs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The same of observations that need no turning."""
    assert isinstance(policy.family, Mixture), "see _check_finite"
    cond = policy.encode(obs)
    normalized, probabilities = policy.family.distribution(cond)
    start = policy.start(cond).repeat_interleave(normalized.shape[1], dim=0)
    return policy.physical(normalized.flatten(0, 1), start).unflatten(0, normalized.shape[:2]), probabilities


def _entropy(seen: Evidence) -> Tensor:
    chunks, probabilities = _distributions(seen)
    return exact_action_entropy(chunks[0], probabilities[0])


def _check_finite(ensemble: Ensemble, period: int) -> None:
    family = ensemble.members[0].family
    if not isinstance(family, Mixture):
        raise UserError("it is for a finite distribution, that of the mixture policy")
    family.check_finite()


def _check_finite_members(ensemble: Ensemble, period: int) -> None:
    check_members(ensemble, period)
    _check_finite(ensemble, period)


def _deviation(seen: Evidence) -> Tensor:
    family = seen.policy.family
    assert isinstance(family, GP), "see _check_process"
    return family.doubt(seen.ensemble.conditions(seen.obs))


def _check_process(ensemble: Ensemble, period: int) -> None:
    if not isinstance(ensemble.members[0].family, GP):
        raise UserError("it is what a Gaussian process says of itself, the policy gp")


EXACT_DISAGREEMENT = Score(
    "exact-disagreement", lambda seen: exact_energy_disagreement(*_distributions(seen)), _check_finite_members
)
EXACT_ENTROPY = Score("exact-entropy", _entropy, _check_finite)
EXACT_DEVIATION = Score("exact-deviation", _deviation, _check_process)

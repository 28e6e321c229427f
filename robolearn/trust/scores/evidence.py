"""What there is to judge a policy by at a replanning, and the scores of uncertainty by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from robolearn import seeds
from robolearn.policies.ensemble import Ensemble
from robolearn.policies.family import Draws
from robolearn.policies.mixture import Mixture
from robolearn.policies.policy import Policy
from robolearn.trust.scores import exact
from robolearn.trust.scores import samples as scores
from robolearn.trust.scores.policy_scores import denoising_loss, dropout_members

DROPOUT_MEMBERS = 5


@dataclass(frozen=True)
class Evidence:
    """One replanning of s environments; chunks are normalised, so that every number of an action counts alike.

    Attributes:
        ensemble: The acting policy first.
        obs: Key -> [s, o, ...] in physical units.
        noise: That the members' samples are drawn from, [s * n, ...].
        samples: Chunks of every member; zeros where no score asks for them.
        before: Those of the first member at the replanning before.
        executed: The chunk that is to be executed.
        executed_before: The one before.
        known: Where there is a replanning before, and what it planned was executed.
        num_executed: Steps from that replanning to this one.
        draws: Noise and noise levels for the denoising loss; empty where it is not asked for.
    """

    ensemble: Ensemble
    obs: dict[str, Tensor]
    noise: Float[Tensor, "m ..."]
    samples: Float[Tensor, "k s n t a"]
    before: Float[Tensor, "s n t a"]
    executed: Float[Tensor, "s t a"]
    executed_before: Float[Tensor, "s t a"]
    known: Bool[Tensor, " s"]
    num_executed: int
    draws: Draws

    @property
    def policy(self) -> Policy:
        """The acting one."""
        return self.ensemble.members[0]


Score = Callable[[Evidence], Float[Tensor, " s"]]


def _stac(seen: Evidence) -> Tensor:
    score = scores.temporal_inconsistency(seen.before, seen.samples[0], seen.num_executed)
    return torch.where(seen.known, score, 0.0)


def _stac_single(seen: Evidence) -> Tensor:
    score = scores.single_inconsistency(seen.executed_before, seen.executed, seen.num_executed)
    return torch.where(seen.known, score, 0.0)


def _dropout(seen: Evidence) -> Tensor:
    generator = torch.Generator(seen.noise.device).manual_seed(seeds.FIXED)  # the same members at every replanning
    members = dropout_members(seen.policy, seen.obs, seen.noise, DROPOUT_MEMBERS, generator=generator)
    return scores.energy_disagreement(members)


def _denoising(seen: Evidence) -> Tensor:
    chunks = seen.policy.normalizer.unnormalize("action", seen.executed)
    return denoising_loss(seen.policy, seen.obs, chunks, seen.draws)


def _distributions(seen: Evidence) -> tuple[Tensor, Tensor]:
    """Chunks [k, s, K, t, a] in the first member's normalised units, and their probabilities [k, s, K]."""
    found = []
    for member in seen.ensemble.members:
        assert isinstance(member.family, Mixture), "Monitor checks it"
        chunks, probabilities = member.family.distribution(member.encode(seen.obs))
        found.append((seen.ensemble.normalize(member.normalizer.unnormalize("action", chunks)), probabilities))
    chunks, probabilities = (torch.stack(part) for part in zip(*found, strict=True))
    return chunks, probabilities


def _exact_entropy(seen: Evidence) -> Tensor:
    chunks, probabilities = _distributions(seen)
    return exact.action_entropy(chunks[0], probabilities[0])


SCORES: dict[str, Score] = {
    "disagreement": lambda seen: scores.energy_disagreement(seen.samples),
    "exact-disagreement": lambda seen: exact.energy_disagreement(*_distributions(seen)),
    "variance": lambda seen: scores.pooled_variance(seen.samples),
    "entropy": lambda seen: scores.action_entropy(seen.samples[0]),
    "exact-entropy": _exact_entropy,
    "stac": _stac,
    "stac-single": _stac_single,
    "dropout": _dropout,
    "denoising": _denoising,
}
NEED_MEMBERS = ("disagreement", "exact-disagreement")
NEED_FINITE = ("exact-disagreement", "exact-entropy")
NEED_OVERLAP = ("stac", "stac-single")
NEED_DENOISER = ("denoising",)
NEED_SAMPLES = ("disagreement", "variance", "entropy", "stac", "dropout")
NEED_DROPOUT = ("dropout",)

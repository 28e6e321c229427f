"""Scores from chunks that a policy's members would execute, and the choice among these.

Functions of samples first, then the scores by name. k members draw n chunks each, with the same noise, for each of b
observations; actions are normalized, so that every number counts alike. Distances between chunks are root mean squares
over their numbers.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from robolearn.errors import UserError
from robolearn.policies.ensemble import Ensemble
from robolearn.trust.scores.score import Evidence, Score

NEAR = 0.25  # share of the samples that makes a mode


def energy_disagreement(chunks: Float[Tensor, "k b n t a"]) -> Float[Tensor, " b"]:
    """Energy distance between the distributions of two members, the mean over all pairs; 0 where they agree.

    2 E|x - y| - E|x - x'| - E|y - y'|, the last two without pairs of a sample with itself, so that members of the same
    distribution score 0 in the mean, however many modes it has. Needs at least two members and two samples.

    Source: Szekely and Rizzo 2013, Energy statistics.

    Raises:
        UserError: There is one member, or one sample.
    """
    k, _, n = chunks.shape[:3]
    if k < 2 or n < 2:
        raise UserError(f"disagreement needs at least 2 members and 2 samples, got {k} and {n}")
    # In double precision: distances are differences of squares, of which single precision leaves 1e-3 of what is alike.
    points = chunks.flatten(3).permute(1, 0, 2, 3).flatten(1, 2).double()  # [b, k n, t a]
    distance = torch.cdist(points, points) / math.sqrt(points.shape[2])
    blocks = distance.unflatten(1, (k, n)).unflatten(3, (k, n)).sum((2, 4))  # [b, k, k], sums over pairs of samples
    within = blocks.diagonal(dim1=1, dim2=2).sum(1) / (k * n * (n - 1))
    between = (blocks.sum((1, 2)) - blocks.diagonal(dim1=1, dim2=2).sum(1)) / (k * (k - 1) * n * n)
    return (2 * (between - within)).to(chunks.dtype)


def pooled_variance(chunks: Float[Tensor, "k b n t a"]) -> Float[Tensor, " b"]:
    """Variance of all members' samples, the mean over the numbers of a chunk.

    Does not tell a choice between good ways from doubt; here to show that.
    """
    return chunks.transpose(0, 1).flatten(1, 2).var(1, correction=0).flatten(1).mean(1)


def action_entropy(chunks: Float[Tensor, "b n t a"], bin_width: float = 0.1) -> Float[Tensor, " b"]:
    """ACE, action-chunk entropy [nat]: of the histogram of each number over the samples, the sum over the chunk.

    Args:
        chunks: Of one member.
        bin_width: In normalized actions; 0.1 is a twentieth of their range.

    Source: Roemer et al. 2025, FIPER, arXiv:2510.09459.
    """
    bins = torch.floor(chunks.flatten(2) / bin_width)
    same = (bins[:, :, None] == bins[:, None]).double().mean(2)  # share of the samples in the bin of each
    return -same.log().mean(1).sum(1).float()


def temporal_inconsistency(
    before: Float[Tensor, "b n t a"], now: Float[Tensor, "b n t a"], num_executed: int
) -> Float[Tensor, " b"]:
    """STAC: squared MMD between what was planned for the coming steps and what is planned for them now.

    Gaussian kernel, whose width is the median distance of all pairs. The biased estimate: from n samples of the same
    distribution it is about 1 / n, never negative.

    Args:
        before: Chunks planned num_executed steps ago.
        now: Chunks planned now, from the same member.
        num_executed: Steps since then, below t.

    Source: Agia et al. 2024, Sentinel, arXiv:2410.04640.

    Raises:
        UserError: Nothing of the earlier chunks is left.
    """
    old, new = _overlap(before, now, num_executed)
    points = torch.cat([old, new], dim=1).flatten(2).double()
    squared = torch.cdist(points, points).square()
    n, m = old.shape[1], points.shape[1]
    pairs = torch.triu_indices(m, m, 1, device=points.device)
    width = squared[:, pairs[0], pairs[1]].median(1).values.clamp(min=1e-12)
    kernel = torch.exp(-squared / (2 * width[:, None, None]))
    same = kernel[:, :n, :n].mean((1, 2)) + kernel[:, n:, n:].mean((1, 2))
    return (same - 2 * kernel[:, :n, n:].mean((1, 2))).clamp(min=0).float()


def single_inconsistency(
    before: Float[Tensor, "b t a"], now: Float[Tensor, "b t a"], num_executed: int
) -> Float[Tensor, " b"]:
    """STAC-single: distance between the rest of the last chunk and the new one, from one sample each.

    Raises:
        UserError: As `temporal_inconsistency`.
    """
    old, new = _overlap(before[:, None], now[:, None], num_executed)
    return (old - new).flatten(1).square().mean(1).sqrt()


def most_agreed(chunks: Float[Tensor, "k b n t a"]) -> Int[Tensor, " b"]:
    """Index of the first member's sample in the densest place of the others' samples; of its own, if there are none.

    Dense is where a quarter of the samples is nearest: a sample of a mode, not one between two modes.
    """
    k, b = chunks.shape[:2]
    own = chunks[0].flatten(2).double()
    others = (chunks[1:] if k > 1 else chunks).transpose(0, 1).reshape(b, -1, own.shape[2]).double()
    distance = torch.cdist(own, others, compute_mode="donot_use_mm_for_euclid_dist").sort(2).values
    itself = int(k == 1)  # at distance 0
    nearest = math.ceil(NEAR * (others.shape[1] - itself)) + itself
    return distance[:, :, min(nearest, others.shape[1]) - 1].argmin(1)


def _overlap(
    before: Float[Tensor, "b n t a"], now: Float[Tensor, "b n t a"], num_executed: int
) -> tuple[Tensor, Tensor]:
    """The steps that both were planned for."""
    steps = before.shape[2]
    if not 0 <= num_executed < steps:
        raise UserError(
            f"num_executed {num_executed} must be in 0..{steps - 1}: chunks of {steps} steps do not overlap"
        )
    return before[:, :, num_executed:], now[:, :, : steps - num_executed]


def check_members(ensemble: Ensemble, period: int) -> None:
    """Raise a UserError unless there are members to compare."""
    if len(ensemble) < 2:
        raise UserError("it compares members, and this run has one; train with `num_members` 5")


def _check_samples(ensemble: Ensemble, period: int) -> None:
    """Refuse a policy whose samples are all alike: its score would be the same number at every replanning."""
    if ensemble.members[0].family.is_deterministic:
        raise UserError("it compares samples, and all samples of this policy are the same chunk; choose stac-single")


def _check_spread(ensemble: Ensemble, period: int) -> None:
    if len(ensemble) < 2:
        _check_samples(ensemble, period)


def _check_overlap(ensemble: Ensemble, period: int) -> None:
    if period >= ensemble.cfg.action_horizon:
        raise UserError("it compares plans that overlap; choose exec_horizon below action_horizon")


def _check_overlapping_samples(ensemble: Ensemble, period: int) -> None:
    _check_overlap(ensemble, period)
    _check_samples(ensemble, period)


def _stac(seen: Evidence) -> Tensor:
    score = temporal_inconsistency(seen.before, seen.samples[0], seen.num_executed)
    return torch.where(seen.known, score, 0.0)


def _stac_single(seen: Evidence) -> Tensor:
    score = single_inconsistency(seen.executed_before, seen.executed, seen.num_executed)
    return torch.where(seen.known, score, 0.0)


DISAGREEMENT = Score("disagreement", lambda seen: energy_disagreement(seen.samples), check_members)
VARIANCE = Score("variance", lambda seen: pooled_variance(seen.samples), _check_spread)
ENTROPY = Score("entropy", lambda seen: action_entropy(seen.samples[0]), _check_samples)
STAC = Score("stac", _stac, _check_overlapping_samples)
STAC_SINGLE = Score("stac-single", _stac_single, _check_overlap)

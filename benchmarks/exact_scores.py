"""What computing the scores of a finite distribution saves against sampling it: CPU time, evaluations and error.

    python -m benchmarks.exact_scores [--out docs/results/exact_scores.json]

Members are plain mixtures of the default size with random weights: 64 chunks of 16 actions, each with a probability
of its own. Time does not depend on the weights; how far 64 samples are from the exact score does, so that the error is
an orientation. One thread, a few seconds.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.common import OBS_HORIZON, in_turn, keep, options, untrained_policy
from robolearn import seeds
from robolearn.errors import user_errors
from robolearn.policies.mixture import Mixture, MixtureConfig
from robolearn.trust.scores import exact
from robolearn.trust.scores import samples as scores

STATE, MEMBERS, SAMPLES, REPEATS, OBSERVATIONS = 4, 5, 64, 30, 64
DRY_REPEATS, DRY_OBSERVATIONS = 1, 2


def member(seed: int) -> Mixture:
    """A plain mixture whose chunks lie apart and whose probabilities differ."""
    family = untrained_policy(MixtureConfig("plain"), seed=seed).eval().family
    assert isinstance(family, Mixture)
    for parameter in family.codes.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return family


def distributions(members: list[Mixture], cond: Tensor) -> tuple[Tensor, Tensor]:
    """Chunks [k, b, K, t, a] and their probabilities."""
    chunks, probabilities = zip(*(m.distribution(cond) for m in members), strict=True)
    return torch.stack(chunks), torch.stack(probabilities)


def samples(members: list[Mixture], cond: Tensor, generator: torch.Generator) -> Tensor:
    """Chunks [k, b, n, t, a] with the same noise in all members."""
    repeated = cond.repeat_interleave(SAMPLES, dim=0)
    noise = members[0].noise(len(repeated), generator=generator)
    return torch.stack([m.sample(repeated, noise).unflatten(0, (len(cond), SAMPLES)) for m in members])


@torch.no_grad()
def measure(repeats: int, observations: int) -> dict[str, Any]:
    """All numbers, by score."""
    members, generator = [member(seed) for seed in range(MEMBERS)], torch.Generator().manual_seed(seeds.FIXED)
    cond = torch.rand(observations, OBS_HORIZON, STATE, generator=generator) * 2 - 1

    def both(name: str, mixtures: list[Mixture], ours: Callable[..., Tensor], theirs: Callable[..., Tensor]) -> None:
        one = cond[:1]
        wanted = ours(*distributions(mixtures, cond))
        error = theirs(samples(mixtures, cond, generator)) - wanted
        ways = {
            "exact_ms": lambda: ours(*distributions(mixtures, one)),
            "sampled_ms": lambda: theirs(samples(mixtures, one, generator)),
        }
        results[name] = {
            **{way: 1e3 * statistics.median(times) for way, times in in_turn(ways, repeats).items()},
            "exact_evaluations": len(mixtures),
            "sampled_evaluations": len(mixtures) * SAMPLES,
            "mean": wanted.mean().item(),
            "spread": wanted.std().item(),
            "sampled_rms_error": error.square().mean().sqrt().item(),
            "sampled_bias": error.mean().item(),
        }

    results: dict[str, Any] = {}
    both("energy_disagreement", members, exact.exact_energy_disagreement, scores.energy_disagreement)
    both(
        "action_entropy",
        members[:1],
        lambda chunks, p: exact.exact_action_entropy(chunks[0], p[0]),
        lambda chunks: scores.action_entropy(chunks[0]),
    )
    both(
        "admissible_mass",
        members[:1],
        lambda chunks, p: exact.admissible_mass(p[0], chunks[0, :, :, 0, 0] > 0),
        lambda chunks: (chunks[0, :, :, 0, 0] > 0).float().mean(1),
    )
    return results


def main() -> None:
    """Measure, write and show."""
    cfg = options(__doc__).parse_args()
    torch.set_num_threads(1)
    sizes = (DRY_REPEATS, DRY_OBSERVATIONS) if cfg.dry_run else (REPEATS, OBSERVATIONS)
    numbers = measure(*sizes)
    keep(cfg.out, {"members": MEMBERS, "samples": SAMPLES, "scores": numbers})
    for name, row in numbers.items():
        print(
            f"{name:20s} exact {row['exact_ms']:.2f} ms, {row['exact_evaluations']} evaluations; {SAMPLES} samples "
            f"{row['sampled_ms']:.2f} ms, {row['sampled_evaluations']} evaluations, rms error "
            f"{row['sampled_rms_error']:.3f}, bias {row['sampled_bias']:+.3f}; "
            f"exact values {row['mean']:.3f} +- {row['spread']:.3f}"
        )


if __name__ == "__main__":
    with user_errors():
        main()

"""Numbers with intervals from what was measured with one training seed or several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from robolearn.stats.bootstrap import grouped_mean, grouped_share
from robolearn.stats.divergence import Episodes, mode_divergence_estimate
from robolearn.stats.entropy import conditional_mode_entropies, expected_mode_entropy
from robolearn.stats.value import Estimate
from robolearn.types import Array

Measured = dict[str, Any]
"""What `measure` returned."""


@dataclass(frozen=True)
class Numbers:
    """One row in one setting, over all training seeds.

    Attributes:
        success: Share of successful episodes; None where the environment does not tell of it.
        score: Mean of the best score along the way, in [0, 1]; None where the environment has none.
        mode_entropy: Mean over initial states of the normalized entropy of modes; None without modes.
        expert_entropy: What the demonstrators show from the same states with as many repetitions; what their
            distribution of modes shows where they cannot be asked again.
        divergence: KL(demonstrators || policy) over the modes [nat]; None without modes or success.
        energy: Energy distance of chunks plus a constant of the data; may be negative.
        outside: Share of chunks farther from any expert's than r, which 99 % of experts' chunks are not.
        bridge: Share farther than 3 r, between the modes.
    """

    success: Estimate | None
    score: Estimate | None
    mode_entropy: Estimate | None
    expert_entropy: float | None
    divergence: Estimate | None
    energy: Estimate
    outside: Estimate
    bridge: Estimate

    @property
    def quality(self) -> Estimate:
        """Success where modes matter; else the score, if there is one."""
        first, second = (self.score, self.success) if self.mode_entropy is None else (self.success, self.score)
        quality = second if first is None else first
        assert quality is not None, "check_comparable refuses to measure without either"
        return quality


def summarize_trainings(
    seeds: Sequence[Measured],
    modes: list[int] | None,
    part: str = "evaluation",
    expert_rounds: Sequence[Measured] = (),
) -> Numbers:
    """Put the training seeds together.

    Args:
        seeds: What was measured, one per training seed.
        modes: Demonstrations per mode; None where the task has none.
        part: evaluation or selection.
        expert_rounds: What the expert did from the same states, see expert.py.
    """
    success, taken = episodes(seeds, part)
    num_repeats, told = success.shape[2], is_known(seeds, "success", part)
    entropy = expert = divergence = None
    modes = modes if told else None
    if modes is not None and num_repeats > 1:
        entropy = grouped_mean(entropies(seeds, len(modes), part))
        if expert_rounds:
            expert = float(entropies(expert_rounds, len(modes), part).mean())
        else:
            expert = expected_mode_entropy(np.array(modes) / sum(modes), num_repeats)
    if modes is not None:
        divergence = mode_divergence_estimate(np.array(modes), (success, taken))
    return Numbers(
        success=grouped_share(success.mean(2), success.size) if told else None,
        score=grouped_mean(per_state(seeds, "score", part)) if is_known(seeds, "score", part) else None,
        mode_entropy=entropy,
        expert_entropy=expert,
        divergence=divergence,
        **{
            name: grouped_mean(np.array([m[name] for m in seeds]), shared_groups=False)
            for name in ("energy", "outside", "bridge")
        },
    )


def episodes(seeds: Sequence[Measured], part: str = "evaluation") -> Episodes:
    """Success and mode of every episode."""
    return np.array([m[part]["success"] for m in seeds], bool), np.array([m[part]["mode"] for m in seeds])


def is_known(seeds: Sequence[Measured], key: str, part: str = "evaluation") -> bool:
    """Whether the environment told success, or a score, of every episode."""
    return not any(value is None for m in seeds for row in m[part][key] for value in row)


def per_state(seeds: Sequence[Measured], key: str, part: str = "evaluation") -> Float[Array, "s c"]:
    """Mean over the repetitions from each initial state."""
    return np.array([m[part][key] for m in seeds], float).mean(2)


def entropies(seeds: Sequence[Measured], num_modes: int, part: str = "evaluation") -> Float[Array, "s c"]:
    """Normalized entropy of the modes from each initial state."""
    return conditional_mode_entropies(*episodes(seeds, part), num_modes)

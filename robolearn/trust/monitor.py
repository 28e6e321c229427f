"""Scores a policy at each replanning, beside the controller and without touching what it draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from robolearn.nets.dropout import fixed_dropout
from robolearn.policies.ensemble import Ensemble
from robolearn.policies.mixture import Mixture
from robolearn.rollout.controller import ROWS
from robolearn.rollout.streams import episode_stream
from robolearn.trust.scores.evidence import (
    NEED_DENOISER,
    NEED_DROPOUT,
    NEED_FINITE,
    NEED_MEMBERS,
    NEED_OVERLAP,
    NEED_SAMPLES,
    SCORES,
    Evidence,
)
from robolearn.trust.scores.familiarity import FAMILIARITY
from robolearn.trust.scores.policy_scores import denoising_draws
from robolearn.types import Array

STREAM = 1  # of an episode: the controller draws from its stream 0
NUM_DRAWS = 32  # of noise and noise level, for the denoising loss


class Monitor:
    """Draws chunks of every member with common noise, and scores them.

    Args:
        ensemble: The acting policy first; one member is enough for scores that compare no members.
        names: Scores to compute, of `SCORES` and `FAMILIARITY`.
        num_samples: Chunks per member and replanning.
        num_envs: Environments.
        seed: With the index of an episode it fixes the episode's noise, which is not the controller's.
        period: Steps from one replanning to the next.
        fitted: Those of `FAMILIARITY` among the scores.
        sample: Draw chunks also if no score asks for them.

    Raises:
        ValueError: A score is unknown, or needs what is not there.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        names: Sequence[str],
        num_samples: int,
        num_envs: int,
        *,
        seed: int,
        period: int,
        fitted: Mapping[str, nn.Module] | None = None,
        sample: bool = False,
    ):
        cfg, device = ensemble.cfg, ensemble.device
        check_scores(names, ensemble, period)
        if num_samples < 2:
            raise ValueError(f"num_samples {num_samples} must be at least 2")
        self.ensemble, self.names, self.num_samples = ensemble, tuple(names), num_samples
        self.seed, self.period, self.fitted = seed, period, dict(fitted or {})
        assert all(name in self.fitted for name in names if name in FAMILIARITY), "fit_familiarity comes first"
        self.samples = sample or any(name in NEED_SAMPLES for name in names)
        self.draws = {}
        if any(name in NEED_DENOISER for name in names):
            generator = torch.Generator(device).manual_seed(seed)
            self.draws = denoising_draws(ensemble.members[0], NUM_DRAWS, generator=generator)
        self.streams = [torch.Generator() for _ in range(num_envs)]
        shape = (cfg.action_horizon, cfg.action_dim)
        self.before = torch.zeros(num_envs, num_samples, *shape, device=device)
        self.executed = torch.zeros(num_envs, *shape, device=device)
        self.known = torch.zeros(num_envs, dtype=torch.bool, device=device)

    def reset(self, slots: Sequence[int], episodes: Sequence[int]) -> None:
        """Begin episodes in some environments."""
        for slot, episode in zip(slots, episodes, strict=True):
            self.streams[slot].manual_seed(episode_stream(self.seed, episode, STREAM))
        self.forget(np.asarray(slots))

    def forget(self, slots: Array) -> None:
        """In these environments something else was done than planned: the next plan has nothing to compare with."""
        self.known.index_fill_(0, self._there(slots), False)

    @torch.inference_mode()
    def watch(
        self, slots: Array, obs: dict[str, Array], executed: Float[np.ndarray, "s t a"]
    ) -> tuple[dict[str, Array], Float[Tensor, "k s n t a"]]:
        """Score what is planned.

        Environments are taken in groups of one size, so that an episode's scores do not depend on how many there are.

        Args:
            slots: Environments that replan, indices.
            obs: Their observations, key -> [s, o, ...].
            executed: The chunks that are to be executed, in physical units.

        Returns:
            Score -> [s], and the normalised samples, zeros where none were drawn.
        """
        # Everything crosses to the device once, and the scores come back once, whatever their number.
        rows, obs_there = self._there(slots), {key: self._there(value) for key, value in obs.items()}
        noise = torch.stack([self._noise(slot) for slot in slots.tolist()]).to(self.ensemble.device)
        executed_there = self._there(executed)
        count, size, parts = len(slots), max(1, ROWS // self.num_samples), []
        for start in range(0, count, size):
            index = torch.arange(start, start + size, device=rows.device).clamp(max=count - 1)
            group = {key: value[index] for key, value in obs_there.items()}
            parts.append(self._score(rows[index], group, noise[index], executed_there[index]))
        found = torch.cat([part[0] for part in parts], 1)[:, :count].cpu().numpy()
        samples, chunks = (torch.cat([part[i] for part in parts], 1)[:, :count] for i in (1, 2))
        self.before[rows], self.executed[rows] = samples[0], chunks[0]
        self.known.index_fill_(0, rows, True)
        return dict(zip(self.names, found, strict=True)), samples

    def _there(self, values: Array) -> Tensor:
        return torch.from_numpy(values).to(self.ensemble.device)

    def _noise(self, slot: int) -> Tensor:
        return self.ensemble.noise(self.num_samples, generator=self.streams[slot])

    def _score(
        self, rows: Int[Tensor, " s"], obs: dict[str, Tensor], noise: Tensor, executed: Tensor
    ) -> tuple[Float[Tensor, "i s"], Tensor, Tensor]:
        """Scores of a group, its samples [k, s, n, t, a] and its executed chunks [1, s, t, a], both normalised."""
        ensemble = self.ensemble
        noise = noise.flatten(0, 1)
        shape = (len(rows), self.num_samples)
        samples = self.before.new_zeros(len(ensemble), *shape, *self.before.shape[2:])
        if self.samples:
            samples = ensemble.normalize(ensemble.act(obs, noise)).unflatten(1, shape)
        chunks = ensemble.normalize(executed)
        seen = Evidence(
            ensemble=ensemble,
            obs=obs,
            noise=noise,
            samples=samples,
            before=self.before[rows],
            executed=chunks,
            executed_before=self.executed[rows],
            known=self.known[rows],
            num_executed=self.period,
            draws=self.draws,
        )
        embedding = ensemble.embed(obs) if self.fitted else None
        found = [self.fitted[n](embedding) if n in FAMILIARITY else SCORES[n](seen) for n in self.names]
        numbers = torch.stack([score.double() for score in found]) if found else noise.new_zeros(0, len(rows)).double()
        return numbers, samples, chunks[None]


def check_scores(names: Sequence[str], ensemble: Ensemble, period: int) -> None:
    """Raise a ValueError unless these scores can be computed, with chunks replaced every ``period`` steps."""
    policy = ensemble.members[0]
    for name in names:
        if name not in SCORES and name not in FAMILIARITY:
            raise ValueError(f"score {name!r} is unknown; choose from {', '.join([*SCORES, *FAMILIARITY])}")
        if name in NEED_MEMBERS and len(ensemble) < 2:
            raise ValueError(f"score {name} compares members, and this run has one; train with --num-members 5")
        if name in NEED_OVERLAP and period >= policy.cfg.action_horizon:
            raise ValueError(f"score {name} compares plans that overlap; choose exec_horizon below action_horizon")
        if name in NEED_FINITE and not isinstance(policy.family, Mixture):
            raise ValueError(f"score {name} is for a finite distribution, that of the mixture policy")
        if name in NEED_FINITE and isinstance(policy.family, Mixture):
            policy.family.check_finite()
        if name in NEED_DROPOUT:
            with fixed_dropout(policy, generator=torch.Generator(policy.device)):
                pass

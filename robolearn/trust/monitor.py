"""Scores a policy at each replanning, beside the controller and without touching what it draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from robolearn.errors import UserError
from robolearn.policies.ensemble import Ensemble
from robolearn.rollout.controller import ROWS
from robolearn.rollout.streams import episode_stream
from robolearn.trust.scores.registry import check_score_names
from robolearn.trust.scores.score import Evidence
from robolearn.types import Array

STREAM = 1  # of an episode: the controller draws from its stream 0


class Monitor:
    """Scores plans, with noise of its own that all members share.

    Args:
        ensemble: The acting policy first; one member is enough for scores that compare no members.
        names: Scores to compute, of `SCORES`.
        num_samples: Chunks per member and replanning.
        num_envs: Environments.
        seed: With the index of an episode it fixes the episode's noise, which is not the controller's.
        period: Steps from one replanning to the next.
        fitted: What was fitted to demonstrations for these scores, by name.
        sample: Draw chunks also if no score asks for them.

    Raises:
        UserError: A score is unknown, or needs what is not there.
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
        self.scores = check_score_names(names, ensemble, period)
        if num_samples < 2:
            raise UserError(f"num_samples {num_samples} must be at least 2")
        self.ensemble, self.names, self.num_samples = ensemble, tuple(names), num_samples
        self.seed, self.period, self.sample, self.fitted = seed, period, sample, dict(fitted or {})
        assert all(score.name in self.fitted for score in self.scores if score.fit), "fit_scores comes first"
        self.streams = [torch.Generator() for _ in range(num_envs)]
        shape = (cfg.action_horizon, cfg.action_dim)
        self.before = torch.zeros(num_envs, num_samples, *shape, device=device)
        self.executed = torch.zeros(num_envs, *shape, device=device)
        self.known = torch.zeros(num_envs, dtype=torch.bool, device=device)
        self.elapsed = torch.zeros(num_envs, device=device)

    def reset(self, slots: Sequence[int], episodes: Sequence[int]) -> None:
        """Begin episodes in some environments."""
        for slot, episode in zip(slots, episodes, strict=True):
            self.streams[slot].manual_seed(episode_stream(self.seed, episode, STREAM))
        self.elapsed.index_fill_(0, self._there(np.asarray(slots)), 0.0)
        self.forget(np.asarray(slots))

    def forget(self, slots: Array) -> None:
        """In these environments something else was done than planned: the next plan has nothing to compare with."""
        self.known.index_fill_(0, self._there(slots), False)

    def replace(self, slots: Array, executed: Float[np.ndarray, "s t a"]) -> None:
        """In these environments other chunks are executed than were scored: the next plan is compared with those."""
        self.executed[self._there(slots)] = self.ensemble.normalize(self._there(executed))

    @torch.inference_mode()
    def watch(
        self, slots: Array, obs: dict[str, Array], executed: Float[np.ndarray, "s t a"]
    ) -> tuple[dict[str, Array], Float[Tensor, "k s n t a"] | None]:
        """Score what is planned.

        Environments are taken in groups of one size, so that an episode's scores do not depend on how many there are.

        Args:
            slots: Environments that replan, indices.
            obs: Their observations, key -> [s, o, ...].
            executed: The chunks that are to be executed, in physical units.

        Returns:
            Score -> [s], and the normalized samples, None where none were drawn.
        """
        # Everything crosses to the device once, and the scores come back once, whatever their number.
        rows, obs_there = self._there(slots), {key: self._there(value) for key, value in obs.items()}
        noise = torch.stack([self._noise(slot) for slot in slots.tolist()]).to(self.ensemble.device)
        executed_there = self._there(executed)
        count, size, groups, scores = len(slots), max(1, ROWS // self.num_samples), [], []
        for start in range(0, count, size):
            index = torch.arange(start, start + size, device=rows.device).clamp(max=count - 1)
            group = {key: value[index] for key, value in obs_there.items()}
            seen = self._see(rows[index], group, noise[index], executed_there[index])
            scores.append(torch.stack([score.of_all(seen) for score in self.scores]))
            groups.append(seen)
        all_scores = torch.cat(scores, 1)[:, :count].cpu().numpy()
        samples = None
        if self.sample or any(seen.sampled for seen in groups):
            samples = torch.cat([seen.samples for seen in groups], 1)[:, :count]
            self.before[rows] = samples[0]
        self.executed[rows] = torch.cat([seen.executed for seen in groups])[:count]
        self.known.index_fill_(0, rows, True)
        self.elapsed[rows] += self.period
        return dict(zip(self.names, all_scores, strict=True)), samples

    def _there(self, values: Array) -> Tensor:
        return torch.from_numpy(values).to(self.ensemble.device)

    def _noise(self, slot: int) -> Tensor:
        return self.ensemble.noise(self.num_samples, generator=self.streams[slot])

    def _see(self, rows: Tensor, obs: dict[str, Tensor], noise: Tensor, executed: Tensor) -> Evidence:
        """What there is to judge a group of environments by."""
        return Evidence(
            ensemble=self.ensemble,
            obs=obs,
            noise=noise.flatten(0, 1),
            executed=self.ensemble.normalize(executed),
            executed_before=self.executed[rows],
            before=self.before[rows],
            known=self.known[rows],
            num_executed=self.period,
            elapsed=self.elapsed[rows],
            fitted=self.fitted,
            seed=self.seed,
        )

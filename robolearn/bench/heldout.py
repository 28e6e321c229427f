"""Chunks at held-out observations: what the expert did there, and what experts did nearby."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from robolearn import seeds
from robolearn.data.normalizer import Normalizer
from robolearn.data.windows import Windows
from robolearn.errors import UserError
from robolearn.policies.policy import Policy
from robolearn.stats.agreement import BRIDGE_FACTOR, chunk_energy, expert_radius, share_beyond
from robolearn.training.assemble import open_demos
from robolearn.training.episodes import Kept, keep_episodes, needed_episodes
from robolearn.training.run import Run
from robolearn.types import Array

NUM_OBSERVATIONS = 200  # at least, spread evenly over the held-out episodes
NUM_SAMPLES = 16
NUM_NEIGHBORS = 200
NEIGHBOR_KEY = "state"
ROWS = 64  # observations handled at once, to bound the memory


@dataclass(frozen=True)
class HeldOut:
    """Held-out observations, the same for every family that was trained with one seed.

    Attributes:
        obs: Key -> [e, o, ...], physical units.
        expert: The expert's chunks, normalized and flat, [e, d].
        neighbors: Chunks of the training episodes at the nearest observations, [e, k, d].
        radius: Distance to them that the expert's chunk exceeds at one observation of a hundred.
        num_episodes: Held-out episodes; the observations of one follow each other.
        normalizer: Of the actions.
    """

    obs: dict[str, Tensor]
    expert: Array
    neighbors: Array
    radius: float
    num_episodes: int
    normalizer: Normalizer

    @classmethod
    def from_run(cls, run: Run, device: torch.device) -> HeldOut:
        """Choose observations of the episodes that a run held out, always the same ones.

        Raises:
            UserError: It held none out, or none is as long as a chunk.
        """
        cfg, data = run.config(), run.data()
        demos = open_demos(cfg)
        if not data.validation_episodes:
            raise UserError(f"{run.directory}: chunks are compared at held-out observations, and none were held out")
        horizons = cfg.obs_horizon, cfg.action_horizon
        keys = list(cfg.dataset.obs_keys or ())
        near = [NEIGHBOR_KEY] if NEIGHBOR_KEY in demos.keys else keys
        episodes = np.array(data.validation_episodes)
        parts, _ = keep_episodes(demos, cfg, [*keys, "action"], Kept(data, step=0))
        part = demos.part(needed_episodes(demos, cfg, parts))
        here = Windows.from_store(part, list({*keys, *near}), *horizons, episodes, device, cfg.dataset.cache_dir)
        there = Windows.from_store(part, near, *horizons, parts["train"], device)
        chosen, num_episodes = _choose(here, np.diff(demos.episode_ends, prepend=0)[episodes])
        batch, normalizer = here.batch(torch.from_numpy(chosen)), Normalizer.fit(there.arrays())

        full = [i[there.batch(i).mask.all(1)] for i in torch.arange(len(there), device=device).split(4096)]
        places = torch.cat([_flat(normalizer, near, there.batch(i).obs) for i in full])
        index = torch.cat(full)
        nearest = [
            torch.cdist(rows, places).topk(min(NUM_NEIGHBORS, len(index)), largest=False).indices
            for rows in _flat(normalizer, near, batch.obs).split(ROWS)
        ]
        neighbors = [_chunks(normalizer, there.batch(index[i]).actions) for i in torch.cat(nearest)]
        expert, neighbors = _chunks(normalizer, batch.actions), np.stack(neighbors)
        obs = {key: batch.obs[key] for key in keys}
        return cls(obs, expert, neighbors, expert_radius(expert, neighbors), num_episodes, normalizer)

    @torch.inference_mode()
    def compare(self, policy: Policy) -> dict[str, list[float]]:
        """Energy, and shares beyond r and 3 r, of a policy's chunks, per held-out episode; see stats/agreement.py."""
        generator = torch.Generator(policy.device).manual_seed(seeds.FIXED)
        parts = zip(*(value.split(ROWS) for value in self.obs.values()), strict=True)
        samples = [
            policy.sample(dict(zip(self.obs, part, strict=True)), NUM_SAMPLES, generator=generator) for part in parts
        ]
        chunks = _chunks(self.normalizer, torch.cat(samples))
        numbers = {
            "energy": chunk_energy(chunks, self.expert),
            "outside": share_beyond(chunks, self.neighbors, self.radius),
            "bridge": share_beyond(chunks, self.neighbors, BRIDGE_FACTOR * self.radius),
        }
        return {name: value.reshape(self.num_episodes, -1).mean(1).tolist() for name, value in numbers.items()}


def _choose(windows: Windows, lengths: Array) -> tuple[Array, int]:
    """Windows without padding, equally many of each episode that has any; and the number of such episodes."""
    full = torch.cat([windows.batch(i).mask.all(1) for i in torch.arange(len(windows)).split(4096)]).cpu().numpy()
    rank = np.repeat(np.arange(len(lengths)), lengths)
    usable = [i for i in (np.flatnonzero(full & (rank == e)) for e in range(len(lengths))) if len(i)]
    if not usable:
        raise UserError("no held-out episode is as long as a chunk")
    count, rng = math.ceil(NUM_OBSERVATIONS / len(usable)), np.random.default_rng(seeds.FIXED)
    return np.concatenate([rng.choice(i, count, replace=len(i) < count) for i in usable]), len(usable)


def _flat(normalizer: Normalizer, keys: list[str], obs: dict[str, Tensor]) -> Tensor:
    """Observations as vectors of normalized numbers, [b, ...]."""
    return torch.cat([normalizer.normalize(key, obs[key]).flatten(1) for key in keys], dim=1)


def _chunks(normalizer: Normalizer, actions: Tensor) -> Array:
    """Chunks [..., t, a] as vectors of normalized numbers, [..., d]."""
    return normalizer.normalize("action", actions).flatten(-2).cpu().numpy()

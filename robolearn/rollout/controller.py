"""Closed loop with a receding horizon: the only thing that remembers anything between two actions.

Time of one environment, with obs_horizon 2, action_horizon 6, exec_horizon 3 (o seen, x executed, - dropped):

    step         0  1  2  3  4  5  6
    first chunk  x  x  x  -  -  -
    second             o  xo x  x  -      planned from the observations at steps 2 and 3

An episode draws its noise from a stream of its own, and the policy always sees groups of ``ROWS`` rows
(matrix products of different sizes round differently), so that an episode does not depend on how many run beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from robolearn.policies.policy import Policy
from robolearn.types import Array, is_image

ROWS = 32


class Controller:
    """Drives ``num_envs`` environments with one policy.

    Args:
        policy: Takes and gives physical units.
        num_envs: Environments.
        exec_horizon: Actions executed before replanning, in 1..action_horizon.
        seed: With the index of an episode it fixes the episode's noise.
        ensembling: Temporal ensembling (Zhao et al. 2023, ACT, algorithm 2): replan at every step and average
            all predictions made for it with weights exp(-ensembling * i), i = 0 the oldest. It averages across
            modes, so it is off (None) by default. Replaces exec_horizon.

    Raises:
        ValueError: exec_horizon is out of range, or ensembling is negative.
    """

    def __init__(self, policy: Policy, num_envs: int, exec_horizon: int, *, seed: int, ensembling: float | None = None):
        cfg = policy.cfg
        if not 1 <= exec_horizon <= cfg.action_horizon:
            raise ValueError(
                f"exec_horizon {exec_horizon} must be in 1..{cfg.action_horizon}, the policy's action_horizon"
            )
        if ensembling is not None and ensembling < 0:
            raise ValueError(f"ensembling {ensembling} must not be negative")
        self.policy, self.exec_horizon, self.seed, self.ensembling = policy, exec_horizon, seed, ensembling
        self.history = {
            key: np.zeros((num_envs, cfg.obs_horizon, *shape), np.uint8 if is_image(shape) else np.float32)
            for key, shape in cfg.obs_shapes.items()
        }
        self.streams = [torch.Generator() for _ in range(num_envs)]
        self.weighted = np.zeros((num_envs, cfg.action_horizon, cfg.action_dim))
        self.counts = np.zeros((num_envs, cfg.action_horizon), int)

    def reset(self, slots: Sequence[int], episodes: Sequence[int], obs: dict[str, Array]) -> None:
        """Begin episodes in some environments.

        Args:
            slots: Environments, indices into the leading axis.
            episodes: Index of the episode that begins in each of them.
            obs: First observations of all environments, key -> [n, ...].

        Raises:
            ValueError: An observation does not have the policy's shape, or an image is not of 8 bits.
        """
        for key, shape in self.policy.cfg.obs_shapes.items():
            if obs[key].shape[1:] != shape:
                raise ValueError(
                    f"the environment's {key!r} has shape {obs[key].shape[1:]}, the policy expects {shape}"
                )
            if is_image(shape) and obs[key].dtype != np.uint8:
                raise ValueError(f"the environment's {key!r} is {obs[key].dtype}, the policy expects uint8, 0 .. 255")
        for slot, episode in zip(slots, episodes, strict=True):
            state = np.random.SeedSequence((self.seed, episode)).generate_state(1, np.uint64)[0]
            self.streams[slot].manual_seed(int(state >> np.uint64(1)))
            self.weighted[slot], self.counts[slot] = 0, 0
            for key, history in self.history.items():
                history[slot] = obs[key][slot]

    def act(self, active: Array) -> Array:
        """Plan the next actions of the active environments.

        Args:
            active: Which environments run, [n].

        Returns:
            Actions to execute before the next call, [n, h, a], with h = exec_horizon, or 1 with ensembling;
            zeros where not active.
        """
        chunks = np.zeros((len(active), self.policy.cfg.action_horizon, self.policy.cfg.action_dim), np.float32)
        slots = np.flatnonzero(active)
        for start in range(0, len(slots), ROWS):
            group = slots[start : start + ROWS]
            chunks[group] = self._plan(group)
        return chunks[:, : self.exec_horizon] if self.ensembling is None else self._ensemble(chunks, slots)

    def observe(self, obs: dict[str, Array], num_steps: Array) -> None:
        """Remember what the executed actions led to.

        Args:
            obs: Key -> [n, h, ...], or the last observations only; see Chunk.
            num_steps: How many of the h observations are valid, [n].
        """
        for key, history in self.history.items():
            for slot in np.flatnonzero(num_steps):
                seen = np.concatenate([history[slot], obs[key][slot, : num_steps[slot]]])  # fewer where fewer are there
                history[slot] = seen[-history.shape[1] :]

    @torch.inference_mode()
    def _plan(self, group: Array) -> Array:
        rows = np.concatenate([group, np.full(ROWS - len(group), group[0])])
        device = self.policy.device
        obs = {key: torch.from_numpy(history[rows]).to(device) for key, history in self.history.items()}
        drawn = [self.policy.family.noise(1, generator=self.streams[slot]) for slot in group]
        noise: Tensor = torch.cat(drawn + drawn[:1] * (ROWS - len(group))).to(device)
        return self.policy.act(obs, noise)[: len(group)].cpu().numpy()

    def _ensemble(self, chunks: Array, slots: Array) -> Array:
        assert self.ensembling is not None
        weights = np.exp(-self.ensembling * np.arange(self.counts.shape[1] + 1))
        self.weighted[slots] += weights[self.counts[slots]][..., None] * chunks[slots]
        self.counts[slots] += 1
        totals = np.cumsum(weights)[self.counts[:, 0] - 1]
        actions = np.zeros_like(chunks[:, :1])
        actions[slots, 0] = self.weighted[slots, 0] / totals[slots, None]
        for memory in (self.weighted, self.counts):
            memory[slots, :-1], memory[slots, -1] = memory[slots, 1:], 0
        return actions

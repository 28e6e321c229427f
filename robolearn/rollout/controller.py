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

from robolearn.contract import ChunkResult
from robolearn.policies.policy import Policy
from robolearn.policies.prefix import Prefix
from robolearn.rollout.chunked import ChunkedEnvs
from robolearn.rollout.execution import Execution, most_coherent
from robolearn.rollout.schedule import Schedule
from robolearn.rollout.streams import episode_stream
from robolearn.types import Array, is_image

ROWS = 32


class Controller:
    """Drives ``num_envs`` environments with one policy.

    Args:
        policy: Takes and gives physical units.
        num_envs: Environments.
        execution: How chunks are executed, with an exec_horizon.
        seed: With the index of an episode it fixes the episode's noise.

    Attributes:
        stopped: Environments whose episode is to end now, [n]; a controller with a gate sets it in `act`.

    Raises:
        UserError: The policy cannot be executed like this; see Execution.check.
    """

    def __init__(self, policy: Policy, num_envs: int, execution: Execution, *, seed: int):
        cfg = policy.cfg
        execution.check(cfg.action_horizon, cfg.prefix_horizon)
        self.policy, self.cfg, self.execution, self.seed = policy, cfg, execution, seed
        self.history = {
            key: np.zeros((num_envs, cfg.obs_horizon, *shape), np.uint8 if is_image(shape) else np.float32)
            for key, shape in cfg.obs_shapes.items()
        }
        self.schedule = Schedule(num_envs, (cfg.action_horizon, cfg.action_dim), execution)
        self.streams = [torch.Generator() for _ in range(num_envs)]
        self.noises: list[Tensor | None] = [None] * num_envs
        self.stopped = np.zeros(num_envs, bool)

    def reset(self, slots: Sequence[int], episodes: Sequence[int], obs: dict[str, Array]) -> None:
        """Begin episodes in some environments.

        Args:
            slots: Environments, indices into the leading axis.
            episodes: Index of the episode that begins in each of them.
            obs: First observations of all environments, key -> [n, ...].
        """
        for slot, episode in zip(slots, episodes, strict=True):
            self.streams[slot].manual_seed(episode_stream(self.seed, episode))
            self.noises[slot], self.stopped[slot] = None, False
            self.schedule.clear(slot)
            for key, history in self.history.items():
                history[slot] = obs[key][slot]

    def act(self, active: Array) -> Array:
        """Plan the next actions of the active environments, of which there is at least one.

        Args:
            active: Which environments run, [n].

        Returns:
            Actions to execute before the next call, [n, h, a], with h = exec_horizon, or 1 with ensembling;
            zeros where not active.
        """
        slots = np.flatnonzero(active)
        self.schedule.plan(slots, self._choose(slots, self._sample(slots)))
        return self.schedule.execute(slots)

    def observe(self, obs: dict[str, Array], num_steps: Array) -> None:
        """Remember what the executed actions led to.

        Args:
            obs: Key -> [n, h, ...], or the last observations only; see ChunkResult.
            num_steps: How many of the h observations are valid, [n].
        """
        for key, history in self.history.items():
            for slot in np.flatnonzero(num_steps):
                seen = np.concatenate([history[slot], obs[key][slot, : num_steps[slot]]])  # fewer where fewer are there
                history[slot] = seen[-history.shape[1] :]

    def attach(self, envs: ChunkedEnvs) -> None:
        """Take from the environments what this controller needs of them, before the first episode."""

    def step(self, envs: ChunkedEnvs, actions: Array, active: Array) -> tuple[Array, ChunkResult]:
        """Execute what `act` returned.

        Args:
            envs: Environments.
            actions: [n, h, a].
            active: Which environments run, [n].

        Returns:
            The actions that were executed, [n, h, a], and what they led to.
        """
        return actions, envs.step_chunk(actions, active)

    def signals(self, slot: int) -> dict[str, Array]:
        """What was noted at each replanning of an environment's episode, name -> [plans]."""
        return {}

    @torch.inference_mode()
    def _sample(self, slots: Array) -> Tensor:
        """Candidate chunks [s, k, t, a], whose index 0 is now."""
        num, device = self.execution.candidates, self.policy.device
        noise = torch.cat([self._noise(slot) for slot in slots.tolist()])
        rows = np.repeat(slots, num)
        chunks = []
        for start in range(0, len(rows), ROWS):
            index = np.arange(start, start + ROWS).clip(max=len(rows) - 1)
            group = rows[index]
            obs = {key: torch.from_numpy(history[group]).to(device) for key, history in self.history.items()}
            chunks.append(self.policy.act(obs, noise[index].to(device), self._prefix(group)))
        return torch.cat(chunks)[: len(rows)].unflatten(0, (len(slots), num))

    def _noise(self, slot: int) -> Tensor:
        """Noise [k, ...] of an environment, from its episode's stream."""
        kept = self.noises[slot]
        if kept is None or not self.execution.keep_noise:
            kept = self.policy.family.noise(self.execution.candidates, generator=self.streams[slot])
            self.noises[slot] = kept
        return kept

    def _prefix(self, rows: Array) -> Prefix | None:
        """What is executed before the new chunks take effect, for a policy that was trained to go on from it."""
        horizon = self.policy.cfg.prefix_horizon
        if horizon == 0:
            return None
        actions = torch.from_numpy(self.schedule.actions[rows, :horizon]).float()
        length = torch.from_numpy(self.execution.delay * self.schedule.begun(rows))
        return Prefix(actions, length).to(self.policy.device)

    def _choose(self, slots: Array, candidates: Tensor) -> Array:
        """One chunk [t, a] for each environment; the first where there is nothing to compare with."""
        chunks = candidates.cpu().numpy()
        if chunks.shape[1] == 1:
            return chunks[:, 0]
        rest = torch.from_numpy(self.schedule.rest(slots)).to(candidates)
        one, other = (self.policy.normalizer.normalize("action", x).double().cpu().numpy() for x in (candidates, rest))
        choice = np.where(self.schedule.begun(slots), most_coherent(one, other), 0)
        return chunks[np.arange(len(slots)), choice]

"""A learned simulator in the place of environments: the engine rolls policies out in it as in any other."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Float
from torch import Tensor

from robolearn.contract import ChunkResult, Facts
from robolearn.rollout.chunked import ChunkedEnvs
from robolearn.rollout.controller import ROWS
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.interface import Interface
from robolearn.rollout.streams import episode_stream
from robolearn.simulator.model import LearnedSimulator
from robolearn.simulator.transitions import Ends
from robolearn.types import Array

STREAM = 1  # of an episode's random streams; the first is its policy's
UNBOUNDED = np.float32(np.inf)


class SimulatedEnvs(ChunkedEnvs):
    """Episodes in a learned simulator. One depends on its seed alone, however many run beside it.

    Args:
        simulator: Says what comes of actions.
        num_envs: Episodes side by side.
        starts: States [m, s] where episodes begin: that of seed i begins at start i modulo m.
        obs_keys: Those that the policy sees.
        obs: Keys that are made of those of the state; see EnvConfig.
        max_steps: Length at which an episode is cut.

    Raises:
        UserError: The state has no such observations.
    """

    clips_itself = True

    def __init__(
        self,
        simulator: LearnedSimulator,
        num_envs: int,
        starts: Float[np.ndarray, "m s"],
        obs_keys: tuple[str, ...],
        *,
        obs: tuple[str, ...] = (),
        max_steps: int | None = None,
    ):
        facts = simulator.facts
        cfg = EnvConfig(f"learned in {simulator.directory}", obs=obs)
        boxes: dict[str, spaces.Space] = {
            key: spaces.Box(-UNBOUNDED, UNBOUNDED, shape) for key, shape in facts.obs_shapes.items()
        }
        low, high = (np.array(end, np.float32) for end in (facts.action_low, facts.action_high))
        interface = Interface.from_spaces(cfg, spaces.Dict(boxes), spaces.Box(low, high), obs_keys, None)
        super().__init__(cfg, num_envs, interface, Facts())
        self.simulator, self.starts = simulator, starts.astype(np.float32)
        self.max_steps = max_steps or facts.max_steps
        self.history = np.zeros((num_envs, facts.history, facts.state_dim), np.float32)
        self.steps = np.zeros(num_envs, int)
        self.streams = [torch.Generator() for _ in range(num_envs)]

    def reset(self, *, seed: list[int | None], options: dict[str, Any]) -> tuple[dict[str, Array], dict[str, Any]]:
        """See ChunkedEnvs."""
        for i in np.flatnonzero(options["reset_mask"]).tolist():
            begun = seed[i]
            assert begun is not None, "an episode has a seed"
            self.history[i], self.steps[i] = self.starts[begun % len(self.starts)], 0
            self.streams[i].manual_seed(episode_stream(begun, 0, STREAM))
        shown = self.simulator.facts.observations(self.history[:, -1])
        return self.interface.observations.see(shown, 1), {}

    def step_chunk(self, actions: Array, active: Array) -> ChunkResult:
        """See ChunkedEnvs."""
        n, h = actions.shape[:2]
        states, ends = np.zeros((n, h, self.starts.shape[1]), np.float32), np.full((n, h), int(Ends.NOTHING))
        slots = np.flatnonzero(active)
        for part in np.split(slots, range(ROWS, len(slots), ROWS)):
            states[part], ends[part] = self._draw(part, actions[part])
        chunk = ChunkResult.empty(n, h, self.interface.observations.zeros(n))
        diverged = ~np.isfinite(states).all(2)
        states[diverged] = 0
        over = self.steps[:, None] + np.arange(1, h + 1) >= self.max_steps
        stops = (ends != Ends.NOTHING) | over | diverged
        length = np.where(stops.any(1), stops.argmax(1) + 1, h) * active
        for i in slots:
            self.history[i] = np.concatenate([self.history[i], states[i, : length[i]]])[-self.history.shape[1] :]
        self.steps += length
        chunk.obs.update(self.interface.observations.see(self.simulator.facts.observations(states), 2))
        chunk.terminated[:], chunk.truncated[:] = (ends != Ends.NOTHING) | diverged, over
        chunk.info["success"][:], chunk.info["unstable"][:] = ends == Ends.SUCCESS, diverged
        chunk.num_steps[:] = length
        return chunk

    def close(self) -> None:
        """Nothing is held."""

    def _draw(self, slots: Array, actions: Array) -> tuple[Array, Array]:
        """States [m, h, s] after the actions [m, h, a] of up to ROWS environments, and what each brought [m, h]."""
        simulator, h = self.simulator, actions.shape[1]
        streams = [self.streams[slot] for slot in slots]
        noise = torch.cat([simulator.noise(1, h, generator=stream) for stream in streams])
        share = torch.stack([torch.rand(h, generator=stream) for stream in streams])
        rows = np.arange(ROWS).clip(max=len(slots) - 1)  # always as many: other sizes round otherwise

        def placed(values: Tensor) -> Tensor:
            return values[rows].to(simulator.device)

        history, chunk = placed(torch.from_numpy(self.history[slots])), placed(torch.from_numpy(actions).float())
        states = simulator.unroll(history, chunk, placed(noise))
        ends = simulator.endings(history, chunk, states, placed(share))
        return states[: len(slots)].cpu().numpy(), ends[: len(slots)].cpu().numpy()

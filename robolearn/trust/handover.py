"""Environments of which the scripted expert drives some for a while, behind the same chunked interface."""

from __future__ import annotations

from typing import Any

import numpy as np

from robolearn.rollout.chunked import Chunk, ChunkedEnvs
from robolearn.types import Array


class Handover:
    """Lets an environment's scripted expert act in the place of the policy.

    Args:
        envs: Environments with ``take_over`` and ``expert_action``.

    Attributes:
        driven: Which environments the expert drives at present, [n].

    Raises:
        ValueError: They have no expert that could take over.
    """

    def __init__(self, envs: ChunkedEnvs):
        if not hasattr(envs, "take_over"):
            raise ValueError("fallback expert: the environment has no scripted expert that could take over")
        self.envs: Any = envs
        self.num_envs = envs.num_envs
        self.driven = np.zeros(envs.num_envs, bool)

    def drive(self, driven: Array) -> None:
        """Say which environments the expert drives from now on; where it begins, it plans from the present state."""
        begins = driven & ~self.driven
        if begins.any():
            self.envs.take_over(begins)
        self.driven = driven.copy()

    def reset(self, *, seed: list[int | None], options: dict[str, Any]) -> tuple[dict[str, Array], dict[str, Any]]:
        """See ChunkedEnvs."""
        self.driven &= ~options["reset_mask"]
        result = self.envs.reset(seed=seed, options=options)
        self.envs.expert_action()  # a task without an expert says so here, before anything is rolled out
        return result

    def step_chunk(self, actions: Array, active: Array) -> Chunk:
        """See ChunkedEnvs; ``actions`` of environments that the expert drives are filled in, [n, h, a]."""
        driven = active & self.driven
        chunk = self.envs.step_chunk(actions, active & ~driven)
        frames: dict[int, list[dict[str, Array]]] = {slot: [] for slot in np.flatnonzero(driven).tolist()}
        for step in range(actions.shape[1]):
            if not driven.any():
                break
            labels, _ = self.envs.expert_action()
            actions[driven, step] = labels[driven]
            part = self.envs.step_chunk(actions[:, step : step + 1], driven)
            for slot in np.flatnonzero(driven & (part.num_steps > 0)).tolist():
                _copy_step(part, chunk, slot, step)
                frames[slot].append({key: value[slot, 0] for key, value in part.obs.items()})
            driven = driven & (part.num_steps > 0) & ~(part.terminated | part.truncated)[:, 0]
        for slot, seen in frames.items():
            for key, value in chunk.obs.items():  # of images a chunk may hold the last steps only
                last = seen[-value.shape[1] :]
                value[slot, : len(last)] = [frame[key] for frame in last]
        return chunk

    def close(self, **kwargs: Any) -> None:
        """See ChunkedEnvs."""
        self.envs.close(**kwargs)


def _copy_step(part: Chunk, chunk: Chunk, slot: int, step: int) -> None:
    """Write an environment's one step into its place in the chunk, all but the observation."""
    for field in ("rewards", "terminated", "truncated"):
        getattr(chunk, field)[slot, step] = getattr(part, field)[slot, 0]
    for key, value in chunk.info.items():
        value[slot, step] = part.info[key][slot, 0]
    chunk.num_steps[slot] = step + 1

"""An environment's scripted expert as a controller, and environments of which it drives some for a while."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robolearn.contract import ChunkResult
from robolearn.rollout.chunked import ChunkedEnvs
from robolearn.types import Array


class Expert:
    """Returns one action at a time, for where its environments stand.

    Args:
        envs: Environments.

    Attributes:
        driven: Which environments it drives at present, [n].

    Raises:
        UserError: They have no expert that could take over.
    """

    def __init__(self, envs: ChunkedEnvs):
        self.demonstrator = envs.demonstrator()
        self.driven = np.zeros(envs.num_envs, bool)

    def reset(self, slots: Sequence[int]) -> None:
        """Give up the environments in which an episode begins."""
        self.driven[slots] = False

    def drive(self, driven: Array) -> None:
        """Say which environments the expert drives from now on; where it begins, it plans from the present state."""
        begins = driven & ~self.driven
        if begins.any():
            self.demonstrator.take_over(begins)
        self.driven = driven.copy()

    def act(self) -> Array:
        """The next action of every environment, as it would be recorded, [n, 1, a]."""
        return self.demonstrator.expert_action()[0][:, None]

    def step(self, envs: ChunkedEnvs, actions: Array, active: Array) -> tuple[Array, ChunkResult]:
        """Execute a chunk [n, h, a] open loop where the expert does not drive, and its own actions where it does.

        Returns:
            The actions that were executed, [n, h, a], and what they led to.
        """
        moving = driven = active & self.driven
        result, executed = envs.step_chunk(actions, active & ~driven), actions.copy()
        parts: list[ChunkResult] = []
        for step in range(actions.shape[1]):
            if not moving.any():
                break
            now = slice(step, step + 1)
            executed[moving, now] = self.act()[moving]
            part = envs.step_chunk(executed[:, now], moving)
            moving = moving & (part.num_steps > 0) & ~(part.terminated | part.truncated)[:, 0]
            parts.append(part)
        return executed, _with_steps(result, parts, driven) if parts else result


def _with_steps(result: ChunkResult, parts: Sequence[ChunkResult], rows: Array) -> ChunkResult:
    """A chunk whose ``rows`` [n] are those of chunks of one step each, one after the other."""
    count = np.sum([part.num_steps for part in parts], axis=0)

    def join(whole: Array, steps: Sequence[Array]) -> Array:
        width = whole.shape[1]  # of images less than the horizon: the last steps only
        index = np.maximum(count - width, 0)[:, None] + np.arange(width)
        index = np.minimum(index, len(steps) - 1)
        joined = np.concatenate(steps, axis=1)[np.arange(len(rows))[:, None], index]
        return np.where(rows.reshape(-1, *[1] * (whole.ndim - 1)), joined, whole)

    return ChunkResult(
        obs={key: join(value, [part.obs[key] for part in parts]) for key, value in result.obs.items()},
        rewards=join(result.rewards, [part.rewards for part in parts]),
        terminated=join(result.terminated, [part.terminated for part in parts]),
        truncated=join(result.truncated, [part.truncated for part in parts]),
        num_steps=np.where(rows, count, result.num_steps),
        info={key: join(value, [part.info[key] for part in parts]) for key, value in result.info.items()},
    )

"""What the drivers hand out: the state of n environments, and what a chunk of steps brought."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from robolearn.contract import Array, ChunkResult


@dataclass(frozen=True)
class EnvState:
    """The complete state of n environments; restoring it continues the episodes bit for bit.

    Attributes:
        physics: Full physics state [n, nstate]; NaN where the simulation has diverged.
        memory: What the task remembers [n, m].
        num_steps: Control steps taken [n], int64; -1 before the first reset.
        plan: The expert's decisions [n, *p].
        noise: Unit normal noise for the expert's executed actions [n, max_steps, a].
        key: With the number of steps this seeds what the expert draws when it takes over [n], int64.
        look: What the episode looks like is drawn from this number, where the task has a look [n], int64.
        past: Physics and memory of the last `latency` steps before the present, oldest first [n, latency, nstate + m].
    """

    physics: Array
    memory: Array
    num_steps: Array
    plan: Array
    noise: Array
    key: Array
    look: Array
    past: Array

    def copy(self) -> EnvState:
        """Deep copy."""
        return EnvState(*(getattr(self, f.name).copy() for f in fields(self)))


@dataclass(frozen=True)
class Steps(ChunkResult):
    """A chunk as the drivers make it.

    The entries of an environment past its `num_steps` repeat its last real step (or, where it took none, how
    it stands), with reward 0; so `terminated[:, -1]` tells whether it has ended.

    Attributes:
        physics: Full physics state [n, h, nstate]; zeros where the simulation has diverged.
        seen: The physics state that `obs` shows [n, h, nstate]: an earlier one where the observation lags.
    """

    physics: Array
    seen: Array


def _arrays(result: Steps) -> list[Array]:
    flags = (result.rewards, result.terminated, result.truncated)
    return [*result.obs.values(), *flags, *result.info.values(), result.physics, result.seen]


def hold(result: Steps, last: Array) -> None:
    """Overwrite what lies behind each environment's step `last` [n] with that step, rewards with 0."""
    rows, time = np.arange(len(last))[:, None], np.arange(result.rewards.shape[1])
    held = np.minimum(time, last[:, None])
    for array in _arrays(result):
        array[...] = array[rows, held]
    result.rewards[time > last[:, None]] = 0.0


def repeat(result: Steps, horizon: int) -> Steps:
    """A chunk of one step, repeated to h steps."""

    def longer(values: dict[str, Array]) -> dict[str, Array]:
        return {key: np.repeat(value, horizon, axis=1) for key, value in values.items()}

    arrays = {key: getattr(result, key) for key in ("rewards", "terminated", "truncated", "physics", "seen")}
    return Steps(obs=longer(result.obs), info=longer(result.info), num_steps=result.num_steps, **longer(arrays))


def scatter(part: Steps, whole: Steps, index: Array) -> None:
    """Write the rows of `part` into the rows `index` of `whole`."""
    for source, target in zip(_arrays(part), _arrays(whole), strict=True):
        target[index] = source
    whole.num_steps[index] = part.num_steps

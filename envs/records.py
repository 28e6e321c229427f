"""What the drivers hand out: the state of n environments, and what a chunk of steps brought."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from envs.task import Array


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
        past: Physics and memory of the last `latency` steps before the present, oldest first [n, latency, nstate + m].
    """

    physics: Array
    memory: Array
    num_steps: Array
    plan: Array
    noise: Array
    key: Array
    past: Array

    def copy(self) -> EnvState:
        """Deep copy."""
        return EnvState(*(getattr(self, f.name).copy() for f in fields(self)))


@dataclass(frozen=True)
class ChunkResult:
    """What up to h control steps brought, with axes [n, h].

    The entries of an environment past its `num_steps` repeat its last real step (or, where it took none, how
    it stands), with reward 0; so `terminated[:, -1]` tells whether it has ended.

    Attributes:
        obs: Key -> array [n, h, *shape], after each step. Images [n, k, *shape] may be of the last k <= h real
            steps only: entry j is the image after step max(num_steps - k, 0) + j.
        rewards: [n, h], float64.
        terminated: [n, h], bool: success, failure or instability.
        truncated: [n, h], bool: out of time.
        num_steps: Steps really executed [n], int64; 0 for inactive and for ended environments.
        info: "success" bool, "score" float64 in [0, 1], "mode" int64, "unstable" bool, each [n, h].
        physics: Full physics state [n, h, nstate]; zeros where the simulation has diverged.
        seen: The physics state that `obs` shows [n, h, nstate]: an earlier one where the observation lags.
    """

    obs: dict[str, Array]
    rewards: Array
    terminated: Array
    truncated: Array
    num_steps: Array
    info: dict[str, Array]
    physics: Array
    seen: Array


def _arrays(result: ChunkResult) -> list[Array]:
    flags = (result.rewards, result.terminated, result.truncated)
    return [*result.obs.values(), *flags, *result.info.values(), result.physics, result.seen]


def hold(result: ChunkResult, last: Array) -> None:
    """Overwrite what lies behind each environment's step `last` [n] with that step, rewards with 0."""
    rows, time = np.arange(len(last))[:, None], np.arange(result.rewards.shape[1])
    held = np.minimum(time, last[:, None])
    for array in _arrays(result):
        array[...] = array[rows, held]
    result.rewards[time > last[:, None]] = 0.0


def repeat(result: ChunkResult, horizon: int) -> ChunkResult:
    """A chunk of one step, repeated to h steps."""

    def longer(values: dict[str, Array]) -> dict[str, Array]:
        return {key: np.repeat(value, horizon, axis=1) for key, value in values.items()}

    arrays = {key: getattr(result, key) for key in ("rewards", "terminated", "truncated", "physics", "seen")}
    return ChunkResult(obs=longer(result.obs), info=longer(result.info), num_steps=result.num_steps, **longer(arrays))


def scatter(part: ChunkResult, whole: ChunkResult, index: Array) -> None:
    """Write the rows of `part` into the rows `index` of `whole`."""
    for source, target in zip(_arrays(part), _arrays(whole), strict=True):
        target[index] = source
    whole.num_steps[index] = part.num_steps

"""Frames of a rolled-out episode, by executing its actions again: rollouts themselves need no renderer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from robolearn.rollout.environments import EnvConfig, make_env
from robolearn.types import Array, Trajectory


def replay(cfg: EnvConfig, trajectory: Trajectory, **kwargs: Any) -> Iterator[Array]:
    """Yield the frames [h, w, 3], uint8, of an episode.

    Args:
        cfg: The environment in which it was rolled out.
        trajectory: The episode.
        kwargs: Further arguments of gymnasium.make, such as the size of the frames.
    """
    env: Any = make_env(cfg, render_mode="rgb_array", **kwargs)
    try:
        env.reset(seed=trajectory.seed)
        yield env.render()
        space = env.action_space
        for action in trajectory.actions:
            env.step(np.clip(action, space.low, space.high).astype(space.dtype))
            yield env.render()
    finally:
        env.close()

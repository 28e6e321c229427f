"""Frames and videos of rolled-out episodes, by executing their actions again: rollouts need no renderer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from robolearn.rollout.environments import EnvConfig, make_env
from robolearn.rollout.video import write_mp4
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


def record_videos(
    cfg: EnvConfig, trajectories: list[Trajectory], count: int, directory: Path, fps: float
) -> list[tuple[str, bool, Path]]:
    """Write mp4 files of the first ``count`` successes and as many failures.

    Returns:
        (caption, success, file) of each.
    """
    videos = []
    for success in (True, False):
        for trajectory in [t for t in trajectories if t.success == success and len(t)][:count]:
            directory.mkdir(parents=True, exist_ok=True)
            path = directory / f"episode_{trajectory.episode:04d}.mp4"
            write_mp4(path, replay(cfg, trajectory), fps)
            videos.append((f"episode {trajectory.episode}: {trajectory.reason}", success, path))
    return videos

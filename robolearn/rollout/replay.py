"""Frames and videos of rolled-out episodes, by executing their actions again: rollouts need no renderer.

An environment that does not repeat itself from a seed would show another episode than the one that was judged. So
every step is compared with what was recorded, and a replay that differs is no video.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from robolearn.errors import UserError, one_line, warned
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.environments import make_env
from robolearn.rollout.interface import Interface
from robolearn.rollout.video import write_mp4
from robolearn.types import Array, Trajectory

RTOL, ATOL = 1e-3, 1e-4  # far above rounding, far below another initial state


def replay(cfg: EnvConfig, trajectory: Trajectory, **kwargs: Any) -> Iterator[Array]:
    """Yield the frames [h, w, 3], uint8, of an episode.

    Args:
        cfg: The environment in which it was rolled out.
        trajectory: The episode.
        kwargs: Further arguments of gymnasium.make, such as the size of the frames.

    Raises:
        UserError: What is seen is not the episode that was recorded.
    """
    env: Any = make_env(cfg, render_mode="rgb_array", **kwargs)
    try:
        shapes = {key: rows.shape[1:] for key, rows in trajectory.obs.items()}
        cfg = cfg.made_only(shapes)  # images are not recorded, also where they are made of others
        interface = Interface.from_spaces(cfg, env.observation_space, env.action_space, shapes, None)
        interface = interface.fitted(cfg, shapes, trajectory.actions.shape[1], {})
        _check_step(trajectory, 0, interface.read_reset(env.reset(seed=trajectory.seed))[1])
        yield env.render()
        success = False
        for step, action in enumerate(trajectory.actions):
            seen = interface.read_step(env.step(interface.actuate(action)))
            _check_step(trajectory, step + 1, seen.obs, seen.reward)
            success |= bool(seen.success)
            yield env.render()
        if trajectory.success and not success:
            raise UserError("it does not succeed when its actions are executed again")
    finally:
        with warned("closing the replayed environment"):
            env.close()


def _check_step(trajectory: Trajectory, step: int, obs: dict[str, Array], reward: float | None = None) -> None:
    """Raise a UserError where a replayed step is not the recorded one."""
    pairs: dict[str, Any] = {key: (obs[key], rows[step]) for key, rows in trajectory.obs.items()}
    if reward is not None:
        pairs["reward"] = (reward, trajectory.rewards[step - 1])
    for name, (seen, recorded) in pairs.items():
        if not np.allclose(seen, recorded, RTOL, ATOL, equal_nan=True):
            raise UserError(f"{name} differs at step {step} when its actions are executed again from its seed")


def record_videos(
    cfg: EnvConfig, trajectories: list[Trajectory], count: int, directory: Path, fps: float
) -> tuple[list[tuple[str, bool, Path]], list[str]]:
    """Write mp4 files of the first ``count`` successes and as many failures.

    Returns:
        (caption, success, file) of each, and a line for each reason for which some could not be made.
    """
    videos, failures = [], dict[str, list[int]]()
    for success in (True, False):
        for trajectory in [t for t in trajectories if t.success == success and len(t)][:count]:
            path = directory / f"episode_{trajectory.episode:04d}.mp4"
            try:
                directory.mkdir(parents=True, exist_ok=True)
                path.unlink(missing_ok=True)  # of an earlier evaluation
                write_mp4(path, replay(cfg, trajectory), fps)
            except Exception as error:  # a stranger's renderer or encoder: the numbers do not depend on it
                failures.setdefault(f"{type(error).__name__}: {one_line(error)}", []).append(trajectory.episode)
            else:
                videos.append((f"episode {trajectory.episode}: {trajectory.reason}", success, path))
    return videos, [f"no video of episode {', '.join(map(str, e))} ({why})" for why, e in failures.items()]

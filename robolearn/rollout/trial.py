"""What can be known of an environment before any work is done for it: whether it fits, and whether it can be filmed."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from robolearn import seeds
from robolearn.errors import warned
from robolearn.images import ImageLayout
from robolearn.modules import reason_of
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.environments import make_env
from robolearn.rollout.making import opened_envs
from robolearn.rollout.readings import kind_of
from robolearn.rollout.video import write_mp4


def check_env(
    env: EnvConfig, obs_shapes: Mapping[str, tuple[int, ...]], action_dim: int, images: Mapping[str, ImageLayout]
) -> None:
    """Refuse an environment that a policy cannot act in; one is made to be asked, and no step is taken.

    Args:
        env: Which.
        obs_shapes: Of the policy's observations.
        action_dim: Numbers in its actions.
        images: How those of the demonstrations were recorded.

    Raises:
        MissingError: It is not installed.
        UserError: It cannot be made, or observations or actions are not those of the policy.
    """
    with opened_envs(env, 1, tuple(obs_shapes), 1) as envs:
        envs.fit(obs_shapes, action_dim, images)


def film_problem(env: EnvConfig) -> str | None:
    """Say why no video of an environment can be made, by making one of a single frame; None if it can."""
    filmed: Any = None
    try:
        filmed = make_env(env, render_mode="rgb_array")
        filmed.reset(seed=seeds.FIXED)
        frame = filmed.render()
        if not isinstance(frame, np.ndarray):
            return f"render returned {kind_of(frame)}, no frame"
        with tempfile.TemporaryDirectory() as folder:
            write_mp4(Path(folder) / "trial.mp4", [frame], fps=1.0)
    except Exception as error:  # a stranger's renderer, or the encoder: no result depends on them
        return reason_of(error)
    finally:
        if filmed is not None:
            with warned("closing the environment that was filmed"):
                filmed.close()
    return None

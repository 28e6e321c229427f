"""What can be known of an environment before any work is done for it: whether it fits, and whether it can be filmed."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robolearn import seeds
from robolearn.errors import UserError, warned
from robolearn.images import ImageLayout
from robolearn.modules import reason_of
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.environments import make_env
from robolearn.rollout.making import opened_envs
from robolearn.rollout.readings import kind_of
from robolearn.rollout.seeding import count_starts
from robolearn.rollout.video import write_mp4

NUM_STARTS = 16  # seeds of an evaluation that are tried beforehand


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


def check_starts(env: EnvConfig, obs_keys: Sequence[str], asked: range, fewest: int) -> None:
    """Refuse an environment that begins from too few distinct starts for what only one episode of each counts in.

    In one that has enough of them it takes as many resets as are needed.

    Args:
        env: Which; one that fits.
        obs_keys: Of the policy.
        asked: Seeds of the episodes.
        fewest: Distinct starts that are needed.

    Raises:
        UserError: There are fewer.
    """
    with opened_envs(env, 1, tuple(obs_keys), 1) as envs:
        met = count_starts(envs, asked, fewest)
    if met is not None and met < fewest:
        raise UserError(
            f"environment {env.id} begins from {met} distinct starts for the seeds {asked.start} .. {asked.stop - 1}; "
            f"one episode from each counts, and at least {fewest} are needed: look for what varies the start "
            "(`env.kwargs`), or choose a larger `alpha`"
        )


def starts_remark(env: EnvConfig, obs_keys: Sequence[str], asked: range) -> str | None:
    """Say that the first of these seeds have few distinct starts; None if they all differ, or are all alike.

    That all are alike is found out with the first two of them, see seeding.py.
    """
    tried = asked[:NUM_STARTS]
    with opened_envs(env, 1, tuple(obs_keys), 1) as envs:
        met = count_starts(envs, tried, len(tried))
    if met is None or met in (1, len(tried)):
        return None
    return (
        f"environment {env.id} begins from {met} distinct starts for the first {len(tried)} seeds: intervals will be "
        "over starts, not over episodes"
    )


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

"""What can be known of an environment before any work is done for it; one copy answers everything that is asked.

Some environments take ten seconds to be made. So whoever begins with a question opens a trial, and asks in it whether
the environment fits, where it begins, and whether it can be filmed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from robolearn import seeds
from robolearn.errors import UserError, warn, warned
from robolearn.images import ImageLayout
from robolearn.modules import reason_of
from robolearn.rollout.chunked import ChunkedEnvs
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.loop import LoopEnvs
from robolearn.rollout.making import make_envs
from robolearn.rollout.readings import FaultError, kind_of
from robolearn.rollout.seeding import NUM_SEEDS, count_starts, few_starts
from robolearn.rollout.video import write_mp4
from robolearn.rollout.watched import WatchedEnv

FRAMES = "rgb_array"


class Trial:
    """One copy of an environment, opened to be asked; no step is taken.

    Attributes:
        envs: The copy.
        unfilmed: Why it could not be made with a renderer; None where it was, or none was asked for.
    """

    def __init__(self, envs: ChunkedEnvs, unfilmed: str | None = None):
        self.envs, self.unfilmed = envs, unfilmed

    def fit(
        self, obs_shapes: Mapping[str, tuple[int, ...]], action_dim: int, images: Mapping[str, ImageLayout]
    ) -> None:
        """Refuse an environment that a policy cannot act in.

        Args:
            obs_shapes: Of the policy's observations.
            action_dim: Numbers in its actions.
            images: How those of the demonstrations were recorded.

        Raises:
            UserError: Observations or actions are not those of the policy.
        """
        self.envs.fit(obs_shapes, action_dim, images)

    def starts_remark(self, asked: range) -> str | None:
        """Say that the first of these seeds have few distinct starts; None if they all differ, or are all alike.

        That all are alike is found out with the first two of them, see seeding.py.
        """
        tried = asked[:NUM_SEEDS]
        met = count_starts(self.envs, tried)
        if met is None or met in (1, len(tried)):
            return None
        return f"{few_starts(self.envs.cfg, met, len(tried))}: intervals will be over starts, not over episodes"

    def film_problem(self) -> str | None:
        """Say why no video of the environment can be made, by making one of a single frame; None if it can."""
        if self.unfilmed is not None:
            return self.unfilmed
        try:
            if isinstance(self.envs, LoopEnvs):
                return _frame_problem(self.envs.copies[0])
            filmed = WatchedEnv(self.envs.cfg, FRAMES)  # a driver of chunks renders nothing
            try:
                return _frame_problem(filmed)
            finally:
                if trouble := filmed.close():
                    warn(trouble)
                filmed.stop()
        except FaultError as fault:  # a stranger's renderer: no result depends on it
            return reason_of(fault.__cause__) if isinstance(fault.__cause__, Exception) else str(fault)
        except Exception as error:  # nor on the encoder
            return reason_of(error)


@contextmanager
def opened_trial(cfg: EnvConfig, obs_keys: Sequence[str], *, films: bool = False) -> Iterator[Trial]:
    """Make one copy of an environment, to be closed in the end.

    Args:
        cfg: Which.
        obs_keys: Of the policy.
        films: Whether to make it with a renderer, so that it can be asked whether it can be filmed. Where it cannot be
            made so, one without is made.

    Raises:
        MissingError: It is not installed.
        UserError: It cannot be made, or lacks observations.
    """
    envs, unfilmed = None, None
    if films:
        try:
            envs = make_envs(cfg, 1, tuple(obs_keys), 1, render_mode=FRAMES)
        except UserError as error:
            unfilmed = reason_of(error)
    if envs is None:
        envs = make_envs(cfg, 1, tuple(obs_keys), 1)
    try:
        yield Trial(envs, unfilmed)
    finally:
        with warned("closing the environment that was tried"):
            envs.close()


def _frame_problem(env: WatchedEnv) -> str | None:
    """Why an environment gives no frame of a video.

    Raises:
        Exception: Its reset or renderer fails, or the encoder does.
    """
    env.reset(seeds.FIXED)
    frame = env.render()
    if not isinstance(frame, np.ndarray):
        return f"render returned {kind_of(frame)}, no frame"
    with tempfile.TemporaryDirectory() as folder:
        write_mp4(Path(folder) / "trial.mp4", [frame], fps=1.0)
    return None

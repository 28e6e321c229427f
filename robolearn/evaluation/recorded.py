"""What a policy did in an evaluation as a store, failures too: for a simulator to learn from, not to imitate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from robolearn.data.attrs import StoreAttrs
from robolearn.data.writer import DemoWriter, is_unbegun
from robolearn.errors import UserError
from robolearn.files import StrPath
from robolearn.rollout.env_config import EnvConfig
from robolearn.starts import judged
from robolearn.types import Episode, Trajectory, is_image

GOES_ON = ("time", "stopped")  # reasons for which an episode ends that lie outside of it


def check_recordable_episodes(path: Path, obs_shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse, before anything is rolled out, to record what cannot be.

    Raises:
        UserError: One line that says why.
    """
    if any(map(is_image, obs_shapes.values())):
        raise UserError("`record_episodes`: images are not kept during a rollout; use a policy without cameras")
    if not is_unbegun(path):
        raise UserError(f"{path} exists; choose another `record_episodes`")


def record_episodes(path: StrPath, trajectories: Sequence[Trajectory], env: EnvConfig, control_dt: float) -> int:
    """Write rolled-out episodes as a store, broken ones aside; return how many there are.

    Beside ``success``, ``mode`` and ``seed`` each has ``ended``: whether it came to an end of its own, and not because
    its time was up.

    Args:
        path: Store to create.
        trajectories: At least one that is not broken and has a step.
        env: Where.
        control_dt: Seconds per action.

    Raises:
        UserError: Something is there already, or the place cannot be written.
    """
    episodes = [
        Episode(
            obs={key: rows[: len(t)] for key, rows in t.obs.items()},
            actions=t.actions,
            attrs={"seed": t.seed, "success": t.success, "mode": t.mode, "ended": t.reason not in GOES_ON},
        )
        for t in judged(trajectories)
        if len(t)
    ]
    attrs = StoreAttrs(
        env_id=env.id,
        env_kwargs=env.kwargs,
        control_dt=control_dt,
        obs_keys=tuple(episodes[0].obs),
        expert="none: a policy",
        source="recorded by robolearn, episodes of an evaluation, failures kept",
    )
    with DemoWriter.begin(Path(path), attrs=attrs) as store:
        store.extend(episodes)
    return len(episodes)

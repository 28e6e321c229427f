"""What a policy did in an evaluation as a store, failures too: for a simulator to learn from, not to imitate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from robolearn.data.recorded import write_recorded
from robolearn.files import StrPath
from robolearn.rollout.env_config import EnvConfig
from robolearn.starts import judged
from robolearn.types import Episode, Trajectory


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
            attrs={"seed": t.seed, "success": t.success, "mode": t.mode, "ended": t.ended},
        )
        for t in judged(trajectories)
        if len(t)
    ]
    said = {"expert": "none: a policy", "source": "episodes of an evaluation, failures kept"}
    write_recorded(Path(path), episodes, env.id, env.kwargs, control_dt, **said)
    return len(episodes)

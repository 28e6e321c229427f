"""What the expert did when it took over, as demonstrations to train on again (DAgger; Ross et al. 2011)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from robolearn.data.recorded import check_recording, write_recorded
from robolearn.errors import UserError
from robolearn.rollout.env_config import EnvConfig
from robolearn.types import INTERVENING, Episode, Trajectory


def segments(trajectory: Trajectory, period: int) -> Iterator[Episode]:
    """The stretches of a trajectory that were under intervention.

    Args:
        trajectory: Rolled out with a gate.
        period: Steps from one replanning to the next.
    """
    driven = np.repeat(trajectory.signals[INTERVENING], period)[: len(trajectory)]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], driven, [False]]).astype(int)))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        yield Episode(
            obs={key: value[start:end] for key, value in trajectory.obs.items()},
            actions=trajectory.actions[start:end],
            attrs={"seed": trajectory.seed, "success": trajectory.success, "mode": trajectory.mode},
        )


def check_recordable(path: Path, fallback: str, sees_images: bool) -> None:
    """Refuse, before anything is rolled out, to record what cannot be.

    Raises:
        UserError: One line that says why.
    """
    if fallback != "expert":
        raise UserError(f"`record_interventions` needs `fallback` expert: {fallback} shows nothing worth learning")
    check_recording("record_interventions", path, sees_images=sees_images)


def record_interventions(
    path: Path, trajectories: Sequence[Trajectory], period: int, env: EnvConfig, control_dt: float
) -> int:
    """Write the interventions of successful episodes as a store; return how many there are.

    Args:
        path: Store to create; none is created where nothing was to be recorded.
        trajectories: Rolled out with the expert as fallback.
        period: Steps from one replanning to the next.
        env: Where.
        control_dt: Seconds per action.
    """
    episodes = [segment for t in trajectories if t.success for segment in segments(t, period)]
    if episodes:
        said = {"expert": "scripted, taking over from a policy", "source": "interventions of a gate"}
        write_recorded(path, episodes, env.id, env.kwargs, control_dt, **said)
    return len(episodes)

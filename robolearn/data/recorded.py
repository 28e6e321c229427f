"""Episodes that were rolled out, as a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from robolearn.data.attrs import StoreAttrs
from robolearn.data.writer import DemoWriter, is_unbegun
from robolearn.errors import UserError
from robolearn.types import Episode


def check_recording(option: str, path: Path, *, sees_images: bool) -> None:
    """Refuse, before anything is rolled out, to record what cannot be.

    Args:
        option: That asks for it.
        path: Of the store.
        sees_images: Whether the policy does.

    Raises:
        UserError: One line that says why.
    """
    if sees_images:
        raise UserError(f"`{option}`: images are not kept during a rollout; use a policy without cameras")
    if not is_unbegun(path):
        raise UserError(f"{path} exists; choose another `{option}`")


def write_recorded(
    path: Path,
    episodes: Sequence[Episode],
    env_id: str | None,
    env_kwargs: Mapping[str, Any],
    control_dt: float,
    *,
    expert: str,
    source: str,
) -> None:
    """Write episodes as a store.

    Args:
        path: Store to create.
        episodes: At least one.
        env_id: Where they were rolled out.
        env_kwargs: Keyword arguments with which that was made.
        control_dt: Seconds per action.
        expert: Who acted.
        source: Of what they are.

    Raises:
        UserError: Something is there already, or the place cannot be written.
    """
    attrs = StoreAttrs(
        env_id=env_id,
        env_kwargs=dict(env_kwargs),
        control_dt=control_dt,
        obs_keys=tuple(episodes[0].obs),
        expert=expert,
        source=f"recorded by robolearn, {source}",
    )
    with DemoWriter.begin(path, attrs=attrs) as store:
        store.extend(episodes)

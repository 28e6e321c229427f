"""What is said of clipping: before the work, of the demonstrated actions; and after it, of those that were executed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from robolearn.rollout.clipping import Clipped, beyond, named
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.making import action_space_of, takes_chunks

OFTEN = 0.01  # share of the steps from which on clipping is a warning
CLIPPED = "they are clipped, and `env.no_clip` sends them as they are"


def clip_problem(env: EnvConfig, low: Sequence[float], high: Sequence[float]) -> str | None:
    """Say which of the demonstrated actions rollouts will clip, as they leave what the environment declares.

    Args:
        env: Which; one that fits.
        low: The least number of each dimension of the demonstrated actions [a]; empty where that is not known.
        high: The greatest ones [a].

    Returns:
        A line that names the option; None if all will be executed as they are.
    """
    if not len(low) or not (env.clips or takes_chunks(env)):
        return None
    space: Any = action_space_of(env)
    dims = np.flatnonzero(beyond(np.array([low, high]), space).any(0)).tolist()
    if not dims:
        return None
    first = dims[0]
    return (
        f"environment {env.id} declares less than was demonstrated: {named(dims)} of {len(low)} numbers leave its "
        f"action space; [{first}] goes from {low[first]:.3g} to {high[first]:.3g}, declared are "
        f"{space.low.ravel()[first]:.3g} to {space.high.ravel()[first]:.3g}; "
        f"{'its driver clips them' if takes_chunks(env) else CLIPPED}"
    )


def clip_remark(env: EnvConfig, clipped: Clipped) -> str | None:
    """Say that many of the executed actions were clipped; None if few were, or if no option would change it."""
    if clipped.steps < OFTEN or takes_chunks(env):
        return None
    share = f"{100 * clipped.steps:.3g} % of the steps had actions beyond what it declares ({named(clipped.dims)})"
    return f"environment {env.id}: {share}; {CLIPPED}"

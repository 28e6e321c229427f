"""What the drivers ask of their arguments; every refusal is one line that names what is valid."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np

from envs.task import Array, Task

RENDER_MODES = ["rgb_array"]


def check_render_mode(mode: str | None) -> str | None:
    """The render mode, if it is one."""
    if mode not in (None, *RENDER_MODES):
        raise ValueError(f"render_mode={mode!r}; choose one of {', '.join(RENDER_MODES)}, or None")
    return mode


def check_size(width: int, height: int) -> tuple[int, int]:
    """The size of an image, if it is one."""
    for name, value in (("width", width), ("height", height)):
        if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name}={value!r} must be a whole number of pixels, 1 or more")
    return width, height


def check_started(task: Task, num_steps: Array) -> None:
    """Refuse environments that have taken `num_steps` [n] < 0 steps: they have not begun."""
    if (num_steps < 0).any():
        raise ValueError(f"{task.name}: call reset() before the first step")


def check_actions(actions: Array, task: Task, leading: tuple[int, ...], num_steps: Array) -> Array:
    """Actions [*leading, a] as float64, for environments that have taken `num_steps` [n] steps."""
    check_started(task, num_steps)
    actions = np.asarray(actions, np.float64)
    expected = (*leading, *task.action_space.shape)
    if actions.shape != expected:
        raise ValueError(f"{task.name}: action has shape {actions.shape}, expected {expected}")
    return actions


def check_mask(mask: Array, num_envs: int, name: str) -> Array:
    """A mask [n] of booleans."""
    mask = np.asarray(mask)
    if mask.dtype != np.bool_ or mask.shape != (num_envs,):
        raise ValueError(f"{name} is {mask.dtype}{list(mask.shape)}, expected bool[{num_envs}]")
    return mask


def check_options(options: dict[str, Any] | None, task: Task, leading: tuple[int, ...], *valid: str) -> Array | None:
    """The explicit start [*leading, s], if one is given."""
    unknown = sorted(set(options or {}) - set(valid))
    if unknown:
        raise ValueError(f"{task.name}: unknown reset option {unknown[0]!r}; choose from {', '.join(valid)}")
    if options is None or options.get("start") is None:
        return None
    space, start = task.start_space, np.asarray(options["start"], np.float64)
    expected = (*leading, *space.shape)
    if start.shape != expected:
        raise ValueError(f"{task.name}: options['start'] has shape {start.shape}, expected {expected}")
    if not ((start >= space.low) & (start <= space.high)).all():
        bounds = f"{space.low.tolist()} .. {space.high.tolist()}"
        raise ValueError(f"{task.name}: options['start'] = {start.tolist()} is outside {bounds}")
    return start

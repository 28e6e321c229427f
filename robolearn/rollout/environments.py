"""Environments by gymnasium id, with the module that registers them."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, registry

from robolearn.modules import making
from robolearn.rollout.env_config import EnvConfig, require_id


def make_env(cfg: EnvConfig, **kwargs: Any) -> gym.Env:
    """Make one environment.

    Raises:
        UserError: The id is unknown, its package is missing, it does not take these arguments, or it raises.
    """
    limit = {} if cfg.max_episode_steps is None else {"max_episode_steps": cfg.max_episode_steps}
    with making(require_id(cfg)):
        # What gymnasium's checker looks for in a first step, interface.py looks for in every one.
        return gym.make(require_id(cfg), disable_env_checker=True, **limit, **{**cfg.kwargs, **kwargs})


def find_spec(cfg: EnvConfig) -> EnvSpec | None:
    """What is registered under exactly this id.

    Raises:
        UserError: The module cannot be imported.
    """
    with making(require_id(cfg)):
        return registry.get(require_id(cfg).rpartition(":")[2])


def modules_of(spec: EnvSpec | None) -> list[str]:
    """Modules of the classes and functions that make what is registered; of nothing, none."""
    points = () if spec is None else (spec.entry_point, spec.vector_entry_point)
    makers = [point.func if isinstance(point, partial) else point for point in points]
    homes = [maker if isinstance(maker, str) else getattr(maker, "__module__", None) for maker in makers]
    return [home.partition(":")[0] for home in homes if home is not None]

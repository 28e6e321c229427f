"""Environments by gymnasium id, with the module that registers them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym


@dataclass(frozen=True)
class EnvConfig:
    """Which environment, as gymnasium spells it."""

    id: str | None = None
    """Gymnasium id with the module that registers it, envs:robolearn/Avoid-v0; by default the data's."""
    kwargs: dict[str, int | float | bool | str] = field(default_factory=dict)
    """Keyword arguments of gymnasium.make; by default the data's."""
    max_episode_steps: int | None = None
    """Length at which an episode is cut; by default the environment's own."""

    def over(self, base: EnvConfig) -> EnvConfig:
        """This configuration where it names an environment, else ``base`` with the options given here."""
        if self.id is not None:
            return self
        limit = base.max_episode_steps if self.max_episode_steps is None else self.max_episode_steps
        return EnvConfig(base.id, {**base.kwargs, **self.kwargs}, limit)


def make_env(cfg: EnvConfig, **kwargs: Any) -> gym.Env:
    """Make one environment.

    Raises:
        ValueError: The id is unknown, its package is missing, or it does not take these arguments.
    """
    limit = {} if cfg.max_episode_steps is None else {"max_episode_steps": cfg.max_episode_steps}
    try:
        return gym.make(require_id(cfg), **limit, **{**cfg.kwargs, **kwargs})
    except (gym.error.Error, ImportError, TypeError) as error:
        raise ValueError(f"environment {cfg.id}: {error}") from None


def require_id(cfg: EnvConfig) -> str:
    """The id; a ValueError where neither the data nor the user named one."""
    if cfg.id is None:
        raise ValueError("the demonstrations name no environment; give --env.id, e.g. envs:robolearn/Avoid-v0")
    return cfg.id


def check_obs_keys(cfg: EnvConfig, space: Any, needs: tuple[str, ...]) -> None:
    """Raise a ValueError that lists what there is if a needed observation is missing."""
    missing = [key for key in needs if key not in space.spaces]
    if missing:
        raise ValueError(f"environment {cfg.id} has no observation {missing}; it has {list(space.keys())}")


def num_modes(cfg: EnvConfig) -> int | None:
    """How many solution modes the environment tells apart; None where it does not say."""
    env: Any = make_env(cfg)
    env.close()
    return getattr(env.unwrapped, "num_modes", None) or None


def declared_symmetry(cfg: EnvConfig) -> dict[str, Any] | None:
    """What the environment declares as its symmetry, for `robolearn.data.symmetry`; None where it says nothing."""
    env: Any = make_env(cfg)
    env.close()
    return getattr(env.unwrapped, "symmetry", None)

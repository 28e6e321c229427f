"""Environments by gymnasium id, with the module that registers them."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, registry

LONGEST_EPISODE = 10**9  # steps
DEFAULT_TIMEOUT = 60.0  # [s]
MAX_REASON = 200  # characters of what a stranger's error says


@dataclass(frozen=True)
class EnvConfig:
    """Which environment, as gymnasium spells it."""

    id: str | None = None
    """Gymnasium id with the module that registers it, envs:robolearn/Avoid-v0; by default the data's."""
    kwargs: dict[str, int | float | bool | str] = field(default_factory=dict)
    """Keyword arguments of gymnasium.make; by default the data's."""
    max_episode_steps: int | None = None
    """Length at which an episode is cut; by default the environment's own, or 1000 where it has none."""
    timeout: float | None = None
    """Seconds that a reset or step of a third-party environment may take, after which its episode is broken; by
    default 60."""

    def __post_init__(self) -> None:
        if self.max_episode_steps is not None and self.max_episode_steps < 1:
            raise ValueError(f"--env.max-episode-steps {self.max_episode_steps} must be at least 1")
        if self.max_episode_steps is not None and self.max_episode_steps > LONGEST_EPISODE:
            raise ValueError(f"--env.max-episode-steps {self.max_episode_steps} must be at most {LONGEST_EPISODE}")
        if not (0 < self.seconds < math.inf):
            raise ValueError(f"--env.timeout {self.timeout:g} must be a number of seconds above 0")

    @property
    def seconds(self) -> float:
        """Seconds that a reset or step may take."""
        return DEFAULT_TIMEOUT if self.timeout is None else self.timeout

    def over(self, base: EnvConfig) -> EnvConfig:
        """This configuration where it names an environment, else ``base`` with the options given here."""
        if self.id is not None:
            return self
        limit = base.max_episode_steps if self.max_episode_steps is None else self.max_episode_steps
        timeout = base.timeout if self.timeout is None else self.timeout
        return EnvConfig(base.id, {**base.kwargs, **self.kwargs}, limit, timeout)


def make_env(cfg: EnvConfig, **kwargs: Any) -> gym.Env:
    """Make one environment.

    Raises:
        ValueError: The id is unknown, its package is missing, it does not take these arguments, or it raises.
    """
    limit = {} if cfg.max_episode_steps is None else {"max_episode_steps": cfg.max_episode_steps}
    with making(cfg):
        # What gymnasium's checker looks for in a first step, interface.py looks for in every one.
        return gym.make(require_id(cfg), disable_env_checker=True, **limit, **{**cfg.kwargs, **kwargs})


@contextmanager
def making(cfg: EnvConfig) -> Iterator[None]:
    """Turn whatever goes wrong while an environment is made into a ValueError of one line that names it."""
    require_id(cfg)
    try:
        yield
    except (Exception, SystemExit) as error:
        raise ValueError(f"environment {cfg.id}: {reason_of(error)}") from error


def reason_of(error: BaseException) -> str:
    """What a stranger's error says: its name and first line."""
    try:
        text = next(iter(str(error).strip().splitlines()), "")
    except Exception:  # an error that cannot even be shown still has a name
        text = ""
    return f"{type(error).__name__}: {text[:MAX_REASON]}".removesuffix(": ")


def require_id(cfg: EnvConfig) -> str:
    """The id; a ValueError where neither the data nor the user named one."""
    if cfg.id is None:
        raise ValueError("the demonstrations name no environment; give --env.id, e.g. envs:robolearn/Avoid-v0")
    return cfg.id


def find_spec(cfg: EnvConfig) -> EnvSpec | None:
    """What is registered under exactly this id.

    Raises:
        ValueError: The module cannot be imported.
    """
    module, _, name = require_id(cfg).rpartition(":")
    with making(cfg):
        if module:
            importlib.import_module(module)
        return registry.get(name)

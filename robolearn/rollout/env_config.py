"""Which environment: a gymnasium id with the module that registers it. Nothing is made or imported here."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from robolearn.errors import UserError

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
            raise UserError(f"`env.max_episode_steps` {self.max_episode_steps} must be at least 1")
        if self.max_episode_steps is not None and self.max_episode_steps > LONGEST_EPISODE:
            raise UserError(f"`env.max_episode_steps` {self.max_episode_steps} must be at most {LONGEST_EPISODE}")
        if not (0 < self.seconds < math.inf):
            raise UserError(f"`env.timeout` {self.timeout:g} must be a number of seconds above 0")

    @property
    def seconds(self) -> float:
        """Seconds that a reset or step may take."""
        return DEFAULT_TIMEOUT if self.timeout is None else self.timeout

    def with_defaults(self, base: EnvConfig) -> EnvConfig:
        """This configuration where it names an environment, else ``base`` with the options given here."""
        if self.id is not None:
            return self
        limit = base.max_episode_steps if self.max_episode_steps is None else self.max_episode_steps
        timeout = base.timeout if self.timeout is None else self.timeout
        return EnvConfig(base.id, {**base.kwargs, **self.kwargs}, limit, timeout)


@contextmanager
def making(cfg: EnvConfig) -> Iterator[None]:
    """Turn whatever goes wrong while an environment is made into a UserError of one line that names it."""
    require_id(cfg)
    try:
        yield
    except (Exception, SystemExit) as error:
        raise UserError(f"environment {cfg.id}: {reason_of(error)}") from error


def reason_of(error: BaseException) -> str:
    """What a stranger's error says: its name and first line."""
    try:
        text = next(iter(str(error).strip().splitlines()), "")
    except Exception:  # an error that cannot even be shown still has a name
        text = ""
    return f"{type(error).__name__}: {text[:MAX_REASON]}".removesuffix(": ")


def require_id(cfg: EnvConfig) -> str:
    """The id; a UserError where neither the data nor the user named one."""
    if cfg.id is None:
        raise UserError("the demonstrations name no environment; give `env.id`, e.g. envs:robolearn/Avoid-v0")
    return cfg.id

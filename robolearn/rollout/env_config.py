"""Which environment: a gymnasium id with the module that registers it. Nothing is made or imported here."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field, fields, replace
from typing import Any

from robolearn.config import check_json
from robolearn.errors import UserError

LONGEST_EPISODE = 10**9  # steps
DEFAULT_TIMEOUT = 60.0  # [s]


@dataclass(frozen=True)
class EnvConfig:
    """Which environment, as gymnasium spells it."""

    id: str | None = None
    """Gymnasium id with the module that registers it, envs:robolearn/Avoid-v0; by default the data's."""
    kwargs: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of gymnasium.make, values as in JSON: 3, true, [1, 2]; by default the data's."""
    max_episode_steps: int | None = None
    """Length at which an episode is cut; by default the environment's own, or 1000 where it has none."""
    timeout: float | None = None
    """Seconds that a reset or step of a third-party environment may take, after which its episode is broken; by
    default 60."""
    obs: tuple[str, ...] = ()
    """Observations made of the environment's: NEW=SOURCE, as in agent_pos=state[:2] state=qpos+qvel; by default as
    the data were mapped, where the environment has no observation of that name."""
    success_key: str | None = None
    """Key of info that tells of success, with dots for inner dicts; by default success or is_success."""
    stop_on_success: bool | None = None
    """End an episode at its first success, where the environment goes on; by default as in training, else not."""
    clip: bool | None = None
    """Clip actions to the space that the environment declares; --env.no-clip is for one that takes more than it
    declares. By default as in training, else they are clipped."""
    return_range: tuple[float, float] | None = None
    """Returns of a random policy and of an expert, which the normalized return calls 0 and 1."""

    def __post_init__(self) -> None:
        if self.max_episode_steps is not None and self.max_episode_steps < 1:
            raise UserError(f"`env.max_episode_steps` {self.max_episode_steps} must be at least 1")
        if self.max_episode_steps is not None and self.max_episode_steps > LONGEST_EPISODE:
            raise UserError(f"`env.max_episode_steps` {self.max_episode_steps} must be at most {LONGEST_EPISODE}")
        if not (0 < self.seconds < math.inf):
            raise UserError(f"`env.timeout` {self.timeout:g} must be a number of seconds above 0")
        check_json(self.kwargs, "`env.kwargs`")
        if self.obs:
            _parse(self.obs)
        low, high = self.return_range or (0.0, 1.0)
        if not (math.isfinite(low) and math.isfinite(high) and low != high):
            raise UserError(f"`env.return_range` {low:g} {high:g} must be two different numbers")

    @property
    def seconds(self) -> float:
        """Seconds that a reset or step may take."""
        return DEFAULT_TIMEOUT if self.timeout is None else self.timeout

    @property
    def stops(self) -> bool:
        """Whether an episode ends at its first success."""
        return self.stop_on_success is True

    @property
    def clips(self) -> bool:
        """Whether actions are clipped to the declared space."""
        return self.clip is not False

    def with_defaults(self, base: EnvConfig) -> EnvConfig:
        """This configuration where it names another environment, else ``base`` with the options given here."""
        if self.id not in (None, base.id):
            return self
        given = {f.name: value for f in fields(self) if (value := getattr(self, f.name)) not in (None, (), {})}
        obs = _parse(self.obs).over(_parse(base.obs)).texts()
        return replace(base, **{**given, "kwargs": {**base.kwargs, **self.kwargs}, "obs": obs})

    def mapped_as(self, data: tuple[str, ...]) -> EnvConfig:
        """The same, with observations made as those of the data were, unless they are there or are made otherwise."""
        return replace(self, obs=_parse(self.obs).over(_parse(data).where_missing()).texts())

    def made_only(self, keys: Collection[str]) -> EnvConfig:
        """The same, where of the observations that are made only these are looked at."""
        return replace(self, obs=_parse(self.obs).only(keys).texts())


def _parse(obs: tuple[str, ...]) -> Any:
    """The key map of entries of `env.obs`; its module brings numpy, which a command's help does without."""
    from robolearn.keymap import KeyMap

    return KeyMap.parse(obs, "env.obs")


def require_id(cfg: EnvConfig) -> str:
    """The id; a UserError where neither the data nor the user named one."""
    if cfg.id is None:
        raise UserError("the demonstrations name no environment; give `env.id`, e.g. envs:robolearn/Avoid-v0")
    return cfg.id

"""What an environment says of itself beside its spaces, asked of a copy that is made for it."""

from __future__ import annotations

from typing import Any

from robolearn.errors import warn
from robolearn.rollout.environments import EnvConfig
from robolearn.rollout.watched import WatchedEnv


def num_modes(cfg: EnvConfig) -> int | None:
    """How many solution modes the environment tells apart; None where it does not say."""
    return read_num_modes(_ask(cfg, "num_modes"))


def read_num_modes(count: Any) -> int | None:
    """A number of modes, if it is one: a whole number of at least 2."""
    return count if isinstance(count, int) and count >= 2 else None


def declared_symmetry(cfg: EnvConfig) -> dict[str, Any] | None:
    """What the environment declares as its symmetry, for `robolearn.data.symmetry`; None where it says nothing."""
    return _ask(cfg, "symmetry")


def _ask(cfg: EnvConfig, name: str) -> Any:
    env = WatchedEnv(cfg)
    try:
        return env.attribute(name, unwrapped=True)
    finally:
        trouble = env.close()
        env.stop()
        if trouble:
            warn(trouble)

"""Making environments, and what those that were made declare of themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, load_env_creator

from robolearn.contract import Facts
from robolearn.errors import warn, warned
from robolearn.modules import making
from robolearn.rollout.chunked import ChunkedEnvs, NativeEnvs
from robolearn.rollout.env_config import EnvConfig, require_id
from robolearn.rollout.environments import find_spec
from robolearn.rollout.interface import Interface
from robolearn.rollout.loop import LoopEnvs
from robolearn.rollout.watched import WatchedEnv

# Of every environment that was made: what was registered under its id then, facts, action space, observation space.
_KNOWN: dict[tuple[str, str], tuple[EnvSpec | None, Facts, Any, Any]] = {}


def make_envs(
    cfg: EnvConfig,
    num_envs: int,
    obs_keys: tuple[str, ...],
    num_frames: int | None = None,
    *,
    render_mode: str | None = None,
) -> ChunkedEnvs:
    """Make ``num_envs`` copies of an environment.

    Args:
        cfg: Which environment.
        num_envs: Copies.
        obs_keys: What the policy needs; names the observation where the environment's is a plain array.
        num_frames: Images of so many last steps of a chunk are enough; None for all.
        render_mode: As gymnasium has it, of a loop's environments; a driver of chunks renders nothing.

    Raises:
        UserError: The id is unknown, its package is missing, or it has other observations.
    """
    if takes_chunks(cfg):
        kwargs: dict[str, Any] = {"num_frames": num_frames, **cfg.kwargs}
        with making(require_id(cfg)):
            driver: Any = gym.make_vec(require_id(cfg), num_envs=num_envs, **kwargs)
        spaces = driver.single_observation_space, driver.single_action_space
        envs = NativeEnvs(cfg, driver, Interface.from_spaces(cfg, *spaces, obs_keys, None))
    else:
        envs = LoopEnvs(cfg, num_envs, obs_keys, render_mode=render_mode)
    declared = envs.facts, envs.interface.action_space, envs.interface.observation_space
    _KNOWN[_name(cfg)] = find_spec(cfg), *declared
    return envs


@contextmanager
def opened_envs(
    cfg: EnvConfig, num_envs: int, obs_keys: tuple[str, ...], num_frames: int | None = None
) -> Iterator[ChunkedEnvs]:
    """`make_envs`, closed in the end; trouble in closing is a warning."""
    envs = make_envs(cfg, num_envs, obs_keys, num_frames)
    try:
        yield envs
    finally:
        with warned("closing the environments"):
            envs.close()


def facts_of(cfg: EnvConfig) -> Facts:
    """What an environment declares; one is made to be asked only where none was made before."""
    return _known(cfg)[1]


def action_space_of(cfg: EnvConfig) -> Any:
    """Which actions an environment declares that it takes; one is made to be asked only where none was made before."""
    return _known(cfg)[2]


def observation_space_of(cfg: EnvConfig) -> Any:
    """Which observations an environment declares; one is made to be asked only where none was made before.

    Images are among them only where they were asked for when it was made.
    """
    return _known(cfg)[3]


def _known(cfg: EnvConfig) -> tuple[EnvSpec | None, Facts, Any, Any]:
    name, spec = _name(cfg), find_spec(cfg)
    # A notebook registers another environment under the same id when its cell is run again.
    if name not in _KNOWN or _KNOWN[name][0] is not spec:
        env = WatchedEnv(cfg)
        try:
            _KNOWN[name] = spec, env.facts(), env.attribute("action_space"), env.attribute("observation_space")
        finally:
            trouble = env.close()
            env.stop()
            if trouble:
                warn(trouble)
    return _KNOWN[name]


def _name(cfg: EnvConfig) -> tuple[str, str]:
    return require_id(cfg), repr(sorted(cfg.kwargs.items()))


def takes_chunks(cfg: EnvConfig) -> bool:
    """Whether an environment comes with a vector driver that takes chunks; see NativeEnvs."""
    spec = find_spec(cfg)
    if spec is None or spec.vector_entry_point is None:
        return False
    driver = spec.vector_entry_point
    with making(require_id(cfg)):
        return hasattr(load_env_creator(driver) if isinstance(driver, str) else driver, "step_chunk")

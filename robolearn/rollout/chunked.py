"""Many environments behind one interface that takes whole chunks of actions.

Our own tasks step a chunk of all environments in one call, see `NativeEnvs`; any other gymnasium environment gets a
loop, see loop.py. In both, an environment that ends inside a chunk stops there, and one that breaks ends its own
episode only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from robolearn.contract import ChunkResult, Demonstrates, Facts
from robolearn.errors import UserError
from robolearn.images import ImageLayout
from robolearn.rollout.clipping import beyond
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.interface import Interface
from robolearn.starts import START_INFO, start_of
from robolearn.types import Array


class ChunkedEnvs(ABC):
    """Environments that the engine can drive.

    Attributes:
        cfg: Which environment.
        num_envs: How many.
        interface: Their spaces, as far as the policy uses them.
        facts: What they declare.
        faults: Why the episode in each environment is broken; None where it is not.
        limit: Steps at which episodes are cut, as neither the user nor the environment says where; None where one does.
        tells_success: Whether any ``info`` told of success.
        info_keys: What ``info`` held at the last step, where it was looked at.
        clips_itself: Whether the environments take actions as they come, and deal with those beyond their space.
    """

    limit: int | None = None
    tells_success = True
    info_keys: tuple[str, ...] = ()
    clips_itself = False

    def __init__(self, cfg: EnvConfig, num_envs: int, interface: Interface, facts: Facts):
        self.cfg, self.num_envs, self.interface, self.facts = cfg, num_envs, interface, facts
        self.faults: list[str | None] = [None] * num_envs

    def fit(self, obs_shapes: Mapping[str, Any], action_dim: int, images: Mapping[str, ImageLayout]) -> None:
        """Bring observations and actions into the shapes of a policy, before the first episode; see Interface.fitted.

        Raises:
            UserError: They cannot be brought into these.
        """
        self.interface = self.interface.fitted(self.cfg, obs_shapes, action_dim, images)

    def clipped(self, actions: Array) -> Array:
        """Which numbers of actions [t, a] are clipped when they are executed, bool [t, a]; rounding does not count."""
        clips = self.cfg.clips or self.clips_itself
        return beyond(actions, self.interface.action_space) if clips else np.zeros(actions.shape, bool)

    @abstractmethod
    def reset(self, *, seed: list[int | None], options: dict[str, Any]) -> tuple[dict[str, Array], dict[str, Any]]:
        """Start the environments in ``options["reset_mask"]`` anew; the others return their present.

        The second value may hold START_INFO, a fingerprint of each environment's whole first observation, where the
        first value is not all that there is to see.
        """

    @abstractmethod
    def step_chunk(self, actions: Array, active: Array) -> ChunkResult:
        """Step every active environment through up to h actions, [n, h, a]."""

    @abstractmethod
    def close(self) -> None:
        """Free resources."""

    def renew(self) -> None:  # noqa: B027 (nothing to do where starts follow from seeds)
        """Make every environment afresh at its next reset, as if none of its resets had been."""

    def demonstrator(self) -> Demonstrates:
        """What has the scripted expert.

        Raises:
            UserError: There is none that could take over.
        """
        raise UserError("expert: the environment has no scripted expert that could take over")


class NativeEnvs(ChunkedEnvs):
    """A vector driver that takes chunks itself, and whose environments stand still when they have ended.

    Raises:
        UserError: They restart by themselves.
    """

    clips_itself = True

    def __init__(self, cfg: EnvConfig, driver: Any, interface: Interface):
        super().__init__(cfg, driver.num_envs, interface, Facts.declared_by(driver))
        self.driver = driver
        mode = getattr((getattr(driver, "metadata", None) or {}).get("autoreset_mode"), "name", "DISABLED")
        if mode != "DISABLED":
            raise UserError(
                f"environment {cfg.id}: its driver restarts environments by itself ({mode}), so that a chunk would "
                "reach into the next episode; declare autoreset_mode DISABLED and let them stand still"
            )

    def reset(self, *, seed: list[int | None], options: dict[str, Any]) -> tuple[dict[str, Array], dict[str, Any]]:
        """See ChunkedEnvs."""
        obs, info = self.driver.reset(seed=seed, options=options)
        return self.interface.observations.see(obs, 1), info

    def step_chunk(self, actions: Array, active: Array) -> ChunkResult:
        """See ChunkedEnvs."""
        chunk = self.driver.step_chunk(actions, active)
        if self.interface.observations.is_plain:
            return chunk
        seen = self.interface.observations.see(chunk.obs, 2)
        names = (f.name for f in fields(ChunkResult) if f.name != "obs")
        return ChunkResult(obs=seen, **{name: getattr(chunk, name) for name in names})

    def close(self) -> None:
        """See ChunkedEnvs."""
        self.driver.close()

    def demonstrator(self) -> Demonstrates:
        """See ChunkedEnvs."""
        if self.facts.has_expert and isinstance(self.driver, Demonstrates):
            return self.driver
        return super().demonstrator()


def reset_some(envs: ChunkedEnvs, seeds: Mapping[int, int]) -> tuple[dict[str, Array], dict[int, str]]:
    """Start some environments anew.

    Args:
        envs: Environments.
        seeds: Of each environment that is to start, by its index.

    Returns:
        Observations of all environments, and the fingerprint of the start of each that was started, empty where it
        broke.
    """
    given: list[int | None] = [seeds.get(slot) for slot in range(envs.num_envs)]
    obs, info = envs.reset(seed=given, options={"reset_mask": np.isin(np.arange(envs.num_envs), list(seeds))})
    whole = info.get(START_INFO)
    if whole is None:
        return obs, {slot: start_of({key: value[slot] for key, value in obs.items()}) for slot in seeds}
    return obs, {slot: whole[slot] for slot in seeds}

"""Any gymnasium environment behind the chunked interface: a loop over environments and steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from robolearn.contract import ChunkResult
from robolearn.errors import warn
from robolearn.images import ImageLayout
from robolearn.rollout.chunked import ChunkedEnvs
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.interface import Interface
from robolearn.rollout.readings import FaultError
from robolearn.rollout.watched import WatchedEnv
from robolearn.starts import START_INFO, start_of
from robolearn.types import Array

MAX_STEPS = 1000  # of an episode whose environment states no limit
MAX_HANGS = 8  # so many calls may hang, or one in every environment if these are more, before one episode has ended


class LoopEnvs(ChunkedEnvs):
    """Any gymnasium environment, stepped one by one.

    ``info`` keys are taken as they are found: ``success`` or ``is_success``, ``score`` or the reward, ``mode``.
    An environment that raises, hangs or returns what interface.py refuses has broken its episode, and is made afresh
    for the next one. Environments take turns, as some share a random generator; each is watched in its own thread.

    Raises:
        UserError: The environment cannot be made, or has other observations.
    """

    def __init__(self, cfg: EnvConfig, num_envs: int, obs_keys: tuple[str, ...], *, render_mode: str | None = None):
        first = WatchedEnv(cfg, render_mode)
        facts, spaces = first.facts(), (first.attribute("observation_space"), first.attribute("action_space"))
        interface = Interface.from_spaces(cfg, *spaces, obs_keys, facts.num_modes)
        super().__init__(cfg, num_envs, interface, replace(facts, has_expert=False))  # nobody asks one through the loop
        self.copies = [first, *(WatchedEnv(cfg, render_mode) for _ in range(num_envs - 1))]
        spec = first.attribute("spec")
        limited = cfg.max_episode_steps is not None or (spec is not None and spec.max_episode_steps is not None)
        self.limit = None if limited else MAX_STEPS
        self.steps = np.zeros(num_envs, int)
        self.hangs, self.tells_success = 0, False
        self.current = interface.observations.zeros(num_envs)

    def fit(self, obs_shapes: Mapping[str, Any], action_dim: int, images: Mapping[str, ImageLayout]) -> None:
        """See ChunkedEnvs."""
        super().fit(obs_shapes, action_dim, images)
        self.current = self.interface.observations.zeros(self.num_envs)

    def reset(self, *, seed: list[int | None], options: dict[str, Any]) -> tuple[dict[str, Array], dict[str, Any]]:
        """See ChunkedEnvs."""
        starts = [""] * self.num_envs
        for i in np.flatnonzero(options["reset_mask"]).tolist():
            self.faults[i], self.steps[i] = self._hopeless(), 0
            if self.faults[i] is not None:
                continue
            try:
                whole, seen = self.interface.read_reset(self.copies[i].reset(seed[i]))
                starts[i] = start_of(whole)
                self._show(i, seen)
            except FaultError as fault:
                self._fail(i, fault)
        return {key: value.copy() for key, value in self.current.items()}, {START_INFO: starts}

    def step_chunk(self, actions: Array, active: Array) -> ChunkResult:
        """See ChunkedEnvs."""
        n, h = actions.shape[:2]
        chunk = ChunkResult.empty(n, h, self.current)
        for i in np.flatnonzero(active).tolist():
            for j in range(h):
                if self.faults[i] is not None or not self._step(i, j, actions[i, j], chunk):
                    break
        return chunk

    def _step(self, i: int, j: int, action: Array, chunk: ChunkResult) -> bool:
        """Take step j of environment i; return whether it can go on."""
        if not np.isfinite(action).all():  # the policy's fault, not the environment's
            for key, value in self.current.items():
                chunk.obs[key][i, j] = value[i]
            chunk.info["unstable"][i, j], chunk.num_steps[i] = True, j + 1
            return False
        try:
            step = self.interface.read_step(self.copies[i].step(self.interface.actuate(action)))
        except FaultError as fault:
            self._fail(i, fault)
            return False
        self._show(i, step.obs)
        self.steps[i] += 1
        self.tells_success |= step.success is not None
        self.info_keys = step.info_keys
        for key, value in self.current.items():
            chunk.obs[key][i, j] = value[i]
        truncated = step.truncated or self.steps[i] == self.limit
        chunk.rewards[i, j], chunk.terminated[i, j], chunk.truncated[i, j] = step.reward, step.terminated, truncated
        chunk.info["success"][i, j] = bool(step.success)
        chunk.info["score"][i, j], chunk.info["mode"][i, j] = step.score, step.mode
        chunk.info["unstable"][i, j] = step.unstable
        chunk.num_steps[i] = j + 1
        ended = step.terminated or truncated or step.unstable
        if ended:
            self.hangs = 0
        return not ended

    def _show(self, i: int, obs: dict[str, Array]) -> None:
        for key, value in self.current.items():
            value[i] = obs[key]

    def _fail(self, i: int, fault: FaultError) -> None:
        """End the episode of an environment as broken."""
        self.faults[i] = str(fault)
        self.hangs += self.copies[i].hung
        self.copies[i].discard()
        for value in self.current.values():
            value[i] = 0  # nobody acts on it, and it is a number

    def _hopeless(self) -> str | None:
        """Why no further episode is begun, where calls have hung again and again."""
        if self.hangs < max(MAX_HANGS, self.num_envs):
            return None
        return f"not begun: {self.hangs} calls took longer than {self.cfg.seconds:g} s, and no episode ended since"

    def renew(self) -> None:
        """Make every environment afresh at its next reset, as if none of its resets had been."""
        for copy in self.copies:
            copy.discard()

    def close(self) -> None:
        """Close every environment; where one hangs in it, the rest are left to the end of the process."""
        troubles = []
        for copy in self.copies:
            troubles.append(copy.close())
            if troubles[-1] and copy.hung:
                break
        for copy in self.copies:
            copy.stop()
        for trouble in dict.fromkeys(filter(None, troubles)):
            warn(trouble)

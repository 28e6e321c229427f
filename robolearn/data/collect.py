"""Record a scripted expert in a vector environment.

The label is recorded, the executed action (label plus recovery noise) drives the environment. Every seed is
one episode; they are stored in the order of their seeds, whatever order they end in, so the data set depends
on neither the number of environments nor on interruptions: a second call goes on where the first stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from robolearn import seeds
from robolearn.data.attrs import StoreAttrs
from robolearn.data.demonstrator import Demonstrator, DemoStep
from robolearn.data.writer import DemoWriter
from robolearn.errors import UserError
from robolearn.files import StrPath
from robolearn.types import Array, Episode, Scalar

MIN_ATTEMPTS, MIN_SUCCESS_RATE = 200, 0.1
FLUSH_EPISODES = 32  # appended in one commit


@dataclass(frozen=True)
class Collected:
    """What a call of `collect` did.

    Attributes:
        stored: Episodes in the store now.
        before: Episodes that were there already.
        dropped: Attempts of this call that were not kept.
    """

    stored: int
    before: int
    dropped: int


def collect(
    env_id: str,
    num_episodes: int,
    out: StrPath,
    seed: int = seeds.DEMONSTRATIONS.start,
    num_envs: int = 64,
    keep_failures: bool = False,
    on_episode: Callable[[Collected], None] = lambda _: None,
    env_kwargs: Mapping[str, Any] | None = None,
) -> Collected:
    """Record until the store holds `num_episodes`, seeds `seed`, `seed + 1`, ... in turn.

        collect("envs:robolearn/Avoid-v0", 200, Path("datasets/avoid.zarr"))

    Args:
        env_id: Gymnasium id with its module; its vector environment must offer `expert_action`.
        num_episodes: Wanted in the store, those of earlier calls included.
        out: Store to create, or to go on with if it was begun with the same settings.
        seed: First seed.
        num_envs: Environments stepped together.
        keep_failures: Also store episodes in which the expert did not succeed.
        on_episode: Called after each finished episode.
        env_kwargs: Keyword arguments of `gymnasium.make_vec`, values as in JSON; kept in the store, so that a
            training and an evaluation take them from there.

    Raises:
        UserError: No such environment, it has no expert or one that rarely succeeds, it fails or returns nonsense
            while it is recorded, `out` holds other data, or the disk refuses. Finished episodes are kept.
    """
    out = Path(out)
    if num_episodes < 1 or num_envs < 1 or seed < 0:
        raise UserError("collect: needs at least 1 episode, at least 1 environment and a seed >= 0")
    envs = Demonstrator(env_id, min(num_envs, num_episodes), env_kwargs)
    try:
        envs.reset(list(range(envs.num_envs)), np.ones(envs.num_envs, bool))
        envs.act()  # an environment without an expert says so here, before anything is written
        with _open(out, envs, seed, keep_failures) as store:
            return _Recorder(store, envs, seed, keep_failures, on_episode).run(num_episodes)
    finally:
        envs.close()


def _open(out: Path, envs: Demonstrator, seed: int, keep_failures: bool) -> DemoWriter:
    attrs = StoreAttrs(
        env_id=envs.env_id,
        env_kwargs=envs.env_kwargs,
        control_dt=envs.control_dt,
        units=envs.units,
        obs_keys=tuple(envs.obs_shapes),
        expert="scripted" + (", failures kept" if keep_failures else ""),
        source=f"recorded by robolearn, seeds from {seed}",
    )
    return DemoWriter.begin_or_go_on(out, attrs, "recorded with other settings")


@dataclass
class _Slot:
    """The episode that one environment is in."""

    seed: int
    obs: list[dict[str, Array]] = field(default_factory=list)
    labels: list[Array] = field(default_factory=list)

    def episode(self, success: bool, mode: int) -> Episode:
        obs = {key: np.stack([o[key] for o in self.obs]) for key in self.obs[0]}
        attrs: dict[str, Scalar] = {"seed": self.seed, "success": success, "mode": mode}
        return Episode(obs=obs, actions=np.stack(self.labels), attrs=attrs)


class _Recorder:
    """Keeps every environment busy and stores finished episodes in the order of their seeds."""

    def __init__(
        self,
        store: DemoWriter,
        envs: Demonstrator,
        seed: int,
        keep_failures: bool,
        on_episode: Callable[[Collected], None],
    ) -> None:
        self.store, self.envs = store, envs
        self.keep_failures, self.on_episode = keep_failures, on_episode
        self.before = store.num_episodes
        self.next_stored = int(store.episode_attrs["seed"][-1]) + 1 if self.before else seed
        self.next_started = self.next_stored
        self.finished: dict[int, Episode | None] = {}  # by seed; None for an attempt that is not kept
        self.ready: list[Episode] = []
        self.attempts = self.dropped = 0

    def run(self, wanted: int) -> Collected:
        slots = [self._new_slot() for _ in range(self.envs.num_envs)]
        restart = np.ones(len(slots), bool)
        obs: dict[str, Array] = {}
        try:
            while self.store.num_episodes + len(self.ready) < wanted:
                if restart.any():
                    seeds = [slot.seed for slot in slots]
                    obs = self.envs.reset(seeds, restart)
                step = self._step(slots, obs)
                for i in np.flatnonzero(step.ended).tolist():
                    self.finished[slots[i].seed] = self._keep(slots[i], step, i)
                    slots[i] = self._new_slot()
                obs, restart = step.obs, step.ended
                self._collect_ready(wanted)
        finally:  # also on Ctrl-C, and where the environment fails: what is finished is kept
            self._flush()
        return self._progress()

    def _new_slot(self) -> _Slot:
        self.next_started += 1
        return _Slot(self.next_started - 1)

    def _step(self, slots: list[_Slot], obs: dict[str, Array]) -> DemoStep:
        for key, value in obs.items():
            self.envs.check_finite(f"observation {key!r}", value)
        label, executed = self.envs.act()
        for i, slot in enumerate(slots):
            slot.obs.append({key: value[i].copy() for key, value in obs.items()})
            slot.labels.append(label[i].copy())
        return self.envs.step(executed)

    def _keep(self, slot: _Slot, step: DemoStep, i: int) -> Episode | None:
        success = bool(step.success[i])
        if step.unstable[i] or not (success or self.keep_failures):
            return None
        return slot.episode(success, int(step.mode[i]))

    def _collect_ready(self, wanted: int) -> None:
        """Move episodes to `ready` as far as all earlier seeds are finished too."""
        while self.next_stored in self.finished and self.store.num_episodes + len(self.ready) < wanted:
            episode = self.finished.pop(self.next_stored)
            self.next_stored += 1
            self.attempts += 1
            if episode is None:
                self.dropped += 1
            else:
                self.ready.append(episode)
            self.on_episode(self._progress())
            if len(self.ready) == FLUSH_EPISODES:
                self._flush()
            kept = self.attempts - self.dropped
            if self.attempts >= MIN_ATTEMPTS and kept < MIN_SUCCESS_RATE * self.attempts:
                env_id = self.store.attrs.env_id
                raise UserError(f"{env_id}: the expert solved only {kept} of {self.attempts} episodes")

    def _flush(self) -> None:
        ready, self.ready = self.ready, []
        self.store.extend(ready)

    def _progress(self) -> Collected:
        return Collected(self.store.num_episodes + len(self.ready), self.before, self.dropped)

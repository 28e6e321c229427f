"""Record a scripted expert in a vector environment.

The label is recorded, the executed action (label plus recovery noise) drives the environment. Every seed is
one episode; they are stored in the order of their seeds, whatever order they end in, so the data set depends
on neither the number of environments nor on interruptions: a second call goes on where the first stopped.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
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
from robolearn.mapper import Mapper, Needs
from robolearn.remote.sync import fetched
from robolearn.types import Array, Episode, Scalar

MIN_ATTEMPTS, MIN_SUCCESS_RATE = 200, 0.1
FLUSH_EPISODES = 32  # appended in one commit
MOST_ROUNDS = 4  # attempts of a job, for each environment: what a lost machine loses
Attempts = Generator[tuple[int, Episode | None]]
"""Seed, and the episode; None where it is not kept."""


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
    episodes: int,
    out: StrPath,
    seed: int = seeds.DEMONSTRATIONS.start,
    num_envs: int = 64,
    keep_failures: bool = False,
    on_episode: Callable[[Collected], None] = lambda _: None,
    env_kwargs: Mapping[str, Any] | None = None,
    mapper: Mapper | None = None,
) -> Collected:
    """Record until the store holds `episodes`, seeds `seed`, `seed + 1`, ... in turn.

        collect("envs:robolearn/Avoid-v0", 200, Path("datasets/avoid.zarr"))

    Args:
        env_id: Gymnasium id with its module; its vector environment must offer `expert_action`.
        episodes: Wanted in the store, those of earlier calls included.
        out: Store to create, or to go on with if it was begun with the same settings.
        seed: First seed.
        num_envs: Environments stepped together.
        keep_failures: Also store episodes in which the expert did not succeed.
        on_episode: Called after each finished episode.
        env_kwargs: Keyword arguments of `gymnasium.make_vec`, values as in JSON; kept in the store for later commands.
        mapper: Where episodes are recorded, see `open_cluster`; by default here. One process writes the store.

    Raises:
        UserError: No such environment, it has no expert or one that rarely succeeds, it fails or returns nonsense
            while it is recorded, `out` holds other data, or the disk refuses. Finished episodes are kept.
    """
    if episodes < 1 or num_envs < 1 or seed < 0:
        raise UserError("collect: needs at least 1 episode, at least 1 environment and a seed >= 0")
    demonstrated = _Demonstrated(env_id, dict(env_kwargs or {}), min(num_envs, episodes), keep_failures)
    with demonstrated.opened(demonstrated.num_envs if mapper is None else 1) as envs:
        envs.reset(list(range(envs.num_envs)), np.ones(envs.num_envs, bool))
        envs.act()  # an environment without an expert says so here, before anything is written
        with _open(fetched(out), envs, seed, keep_failures) as store:
            collector = _Collector(store, seed, episodes, on_episode)
            with closing(_attempts(demonstrated, envs, collector.next_stored, collector.missing, mapper)) as attempts:
                return collector.take(attempts)


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


@dataclass(frozen=True)
class _Demonstrated:
    """What is recorded, but for the seeds; it can travel to another process."""

    env_id: str
    env_kwargs: dict[str, Any]
    num_envs: int
    keep_failures: bool

    def opened(self, num_envs: int) -> closing[Demonstrator]:
        """The environments, which are closed in the end."""
        return closing(Demonstrator(self.env_id, num_envs, self.env_kwargs))


def _attempts(
    demonstrated: _Demonstrated, envs: Demonstrator, first: int, wanted: int, mapper: Mapper | None
) -> Attempts:
    if mapper is None:
        return record(envs, itertools.count(first), demonstrated.keep_failures)
    return record_elsewhere(mapper, demonstrated, first, wanted)


def record_elsewhere(mapper: Mapper, demonstrated: _Demonstrated, first: int, wanted: int) -> Attempts:
    """Attempts from the first seed on, without end, a range of seeds per job.

    There are at least two jobs per place, so that a slow place does less; the last ones may be in vain.
    """
    needs = Needs()
    size = min(MOST_ROUNDS * demonstrated.num_envs, max(1, wanted // (2 * mapper.places(needs))))
    jobs = mapper.map(_record_range, demonstrated, (range(s, s + size) for s in itertools.count(first, size)), needs)
    with closing(jobs):
        for _, attempts in jobs:
            yield from attempts


def _record_range(demonstrated: _Demonstrated, seeds: range) -> list[tuple[int, Episode | None]]:
    with demonstrated.opened(min(demonstrated.num_envs, len(seeds))) as envs:
        return list(record(envs, seeds, demonstrated.keep_failures))


@dataclass
class _Slot:
    """The episode that one environment is in."""

    seed: int
    counts: bool
    obs: list[dict[str, Array]] = field(default_factory=list)
    labels: list[Array] = field(default_factory=list)

    def episode(self, success: bool, mode: int) -> Episode:
        obs = {key: np.stack([o[key] for o in self.obs]) for key in self.obs[0]}
        attrs: dict[str, Scalar] = {"seed": self.seed, "success": success, "mode": mode}
        return Episode(obs=obs, actions=np.stack(self.labels), attrs=attrs)


def record(envs: Demonstrator, seeds: Iterable[int], keep_failures: bool) -> Attempts:
    """Attempts of the expert in the order in which they end, every environment busy.

    Args:
        envs: Where.
        seeds: Of the attempts. Where there are no more, an environment repeats its last one until all have ended.
        keep_failures: Also keep those in which the expert did not succeed.

    Raises:
        UserError: The environment fails or returns nonsense.
    """
    waiting = iter(seeds)
    slots = [_Slot(seed, True) for seed in itertools.islice(waiting, envs.num_envs)]
    assert len(slots) == envs.num_envs
    obs, restart = dict[str, Array](), np.ones(len(slots), bool)
    while any(slot.counts for slot in slots):
        if restart.any():
            obs = envs.reset([slot.seed for slot in slots], restart)
        step = _step(envs, slots, obs)
        for i in np.flatnonzero(step.ended).tolist():
            ended = slots[i]
            following = next(waiting, None)
            slots[i] = _Slot(ended.seed, False) if following is None else _Slot(following, True)
            if ended.counts:
                kept = not step.unstable[i] and (step.success[i] or keep_failures)
                yield ended.seed, ended.episode(bool(step.success[i]), int(step.mode[i])) if kept else None
        obs, restart = step.obs, step.ended


def _step(envs: Demonstrator, slots: list[_Slot], obs: dict[str, Array]) -> DemoStep:
    for key, value in obs.items():
        envs.check_finite(f"observation {key!r}", value)
    label, executed = envs.act()
    for i, slot in enumerate(slots):
        slot.obs.append({key: value[i].copy() for key, value in obs.items()})
        slot.labels.append(label[i].copy())
    return envs.step(executed)


class _Collector:
    """Stores attempts in the order of their seeds, whatever order they end in."""

    def __init__(self, store: DemoWriter, seed: int, wanted: int, on_episode: Callable[[Collected], None]) -> None:
        self.store, self.wanted, self.on_episode = store, wanted, on_episode
        self.before = store.num_episodes
        self.next_stored = int(store.episode_attrs["seed"][-1]) + 1 if self.before else seed
        self.finished: dict[int, Episode | None] = {}  # by seed; None for an attempt that is not kept
        self.ready: list[Episode] = []
        self.attempts = self.dropped = 0

    @property
    def missing(self) -> int:
        """Episodes that are still to be stored."""
        return self.wanted - self.store.num_episodes - len(self.ready)

    def take(self, attempts: Attempts) -> Collected:
        """Store them until the store holds as many as are wanted."""
        try:
            while self.missing > 0:
                seed, episode = next(attempts)
                self.finished[seed] = episode
                self._collect_ready()
        finally:  # also on Ctrl-C, and where the environment fails: what is finished is kept
            self._flush()
        return self._progress()

    def _collect_ready(self) -> None:
        """Move episodes to `ready` as far as all earlier seeds are finished too."""
        while self.next_stored in self.finished and self.missing > 0:
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
        before = self.store.num_episodes
        try:
            self.store.extend(self.ready)
        finally:  # Ctrl-C while they are written: all of them are stored or none
            if self.store.num_episodes > before:
                self.ready = []

    def _progress(self) -> Collected:
        return Collected(self.store.num_episodes + len(self.ready), self.before, self.dropped)

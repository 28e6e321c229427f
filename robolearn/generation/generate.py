"""Write a store of demonstrations that are carried over to other initial states, executed, and kept if they succeed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, takewhile
from pathlib import Path

import numpy as np

from robolearn.config import checked, to_json
from robolearn.contract import Scene
from robolearn.data.attrs import StoreAttrs
from robolearn.data.mapped import open_mapped
from robolearn.data.store import DemoStore, default_obs_keys
from robolearn.data.writer import DemoWriter
from robolearn.errors import UserError, warn
from robolearn.files import StrPath
from robolearn.generation.carrier import Carrier, Recorded
from robolearn.generation.config import GenerateConfig
from robolearn.generation.order import in_turn, nearest_first
from robolearn.generation.places import scene_of
from robolearn.generation.segments import cut
from robolearn.keymap import KeyMap
from robolearn.remote.sync import fetched
from robolearn.rollout.chunked import ChunkedEnvs
from robolearn.rollout.engine import run_episodes
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.making import facts_of
from robolearn.rollout.roll_out import attached_envs
from robolearn.types import Episode, Trajectory, fault_in

HOPELESS = 500  # attempts after which the first must have succeeded
DROUGHT = 20  # times as many as a success takes in the mean: by chance once in e^20


@dataclass(frozen=True)
class Generated:
    """What a call of `generate` did.

    Attributes:
        stored: Episodes in the store now.
        before: Episodes that were there already.
        sources: Demonstrations that were carried over.
        attempts: Of this call; in the end those at starts up to the last one that is stored.
        unsolved: Starts of this call at which no attempt succeeded; in the end those before the last one stored.
    """

    stored: int
    before: int
    sources: int
    attempts: int
    unsolved: int


def generate(
    source: StrPath,
    num_episodes: int,
    out: StrPath,
    cfg: GenerateConfig | None = None,
    *,
    scene: Scene | None = None,
    on_episode: Callable[[Generated], None] = lambda _: None,
) -> Generated:
    """Carry demonstrations over until the store `out` holds `num_episodes`.

        generate("datasets/push20.zarr", 1000, "datasets/push1000.zarr", GenerateConfig(noise=0.004))

    Args:
        source: Store of the demonstrations.
        num_episodes: Wanted in the store, those of earlier calls included.
        out: Store to create, or to go on with if it was begun with the same settings.
        cfg: How.
        scene: Where hand and objects are; by default as `cfg.scene` says, or as the environment declares.
        on_episode: Called after each attempt that is kept or given up.

    Raises:
        UserError: The environment declares no scene and none is given, the scene is not one of these demonstrations,
            attempts cease to succeed, or `out` holds other data. Finished episodes are kept.
    """
    cfg = checked(cfg or GenerateConfig())
    if num_episodes < 1:
        raise UserError("generate: needs at least 1 episode")
    out, store = fetched(out), open_mapped(source, KeyMap.parse(cfg.obs))
    env = cfg.env.with_defaults(EnvConfig(store.attrs.env_id, store.attrs.env_kwargs)).mapped_as(cfg.obs)
    keys = cfg.obs_keys or default_obs_keys(store)
    carrier = _carrier(store, keys, env, scene, cfg)
    with _open(out, store, env, keys, cfg, carrier) as writer, attached_envs(env, cfg.num_envs, carrier, True) as envs:
        return _Generator(writer, envs, carrier, num_episodes, on_episode).run()


def _carrier(
    store: DemoStore, keys: Sequence[str], env: EnvConfig, scene: Scene | None, cfg: GenerateConfig
) -> Carrier:
    missing = [key for key in keys if key not in store.keys]
    if missing:
        raise UserError(f"{store.path}: there is no key {', '.join(missing)}; there are {', '.join(store.keys)}")
    scene = scene or (scene_of(cfg.scene) if cfg.scene.hand else facts_of(env).scene)
    if scene is None:
        raise UserError(
            f"environment {env.id} declares no scene; say with `scene.hand` and `scene.objects` where they are"
        )
    sources = [_source(store, index, keys) for index in range(_count(store, cfg.sources))]
    segments = [cut(source, scene) for source in sources]
    order = in_turn(cfg.seed, len(sources))
    if cfg.order == "nearest":
        order = nearest_first(scene, [{key: rows[0] for key, rows in source.obs.items()} for source in sources])
    recorded = Recorded({key: store.shapes[key] for key in keys}, store.shapes["action"][0])
    how = {"seed": cfg.seed, "tries": cfg.tries, "noise": cfg.noise, "order": order}
    return Carrier(segments, scene, recorded, cfg.num_envs, **how)


def _source(store: DemoStore, index: int, keys: Sequence[str]) -> Episode:
    episode = store.episode(index)
    return Episode({key: episode.obs[key] for key in keys}, episode.actions)


def _count(store: DemoStore, wanted: int | None) -> int:
    if wanted is not None and wanted > store.num_episodes:
        raise UserError(f"{store.path}: holds {store.num_episodes} episodes, `sources` asks for {wanted}")
    return wanted or store.num_episodes


def _open(
    out: Path, store: DemoStore, env: EnvConfig, keys: Sequence[str], cfg: GenerateConfig, carrier: Carrier
) -> DemoWriter:
    attrs = StoreAttrs(
        env_id=env.id,
        control_dt=store.attrs.control_dt,
        units={key: unit for key, unit in store.attrs.units.items() if key in (*keys, "action")},
        obs_keys=tuple(keys),
        expert=f"{_count(store, cfg.sources)} episodes of {store.path.name}, carried over to other initial states",
        source=f"generated by robolearn, seeds from {cfg.seed}, tries {cfg.tries}, noise {cfg.noise:g}, "
        f"{'' if cfg.order == 'random' else f'{cfg.order} first, '}{_digest(carrier, env)}; {store.attrs.source}",
        licence=store.attrs.licence,
        env_kwargs=env.kwargs,
    )
    otherwise = "generated otherwise, of other demonstrations, or where hand and objects are said to be elsewhere"
    return DemoWriter.begin_or_go_on(out, attrs, otherwise)


def _digest(carrier: Carrier, env: EnvConfig) -> str:
    """Of all that generated episodes depend on and that no other attribute tells."""
    scene = carrier.scene
    digest = hashlib.sha256(repr((scene.carries, scene.turns, scene.near, scene.gain)).encode())
    for segment in (segment for source in carrier.sources for segment in source):
        digest.update(repr((segment.name, segment.contact, segment.last, segment.landmark)).encode())
        for numbers in (segment.hand, segment.targets, segment.others, segment.path, segment.landmark_at):
            digest.update(np.ascontiguousarray(numbers, float).tobytes())
    digest.update(json.dumps(to_json(replace(env, timeout=None), {}), sort_keys=True).encode())
    return f"sha256 {digest.hexdigest()[:16]}"


def attempts_behind(store: DemoStore, first: int, tries: int, before: int = 0) -> tuple[int, int]:
    """Attempts that led to the episodes of a generated store, and starts among theirs at which none succeeded.

    Args:
        store: With an episode behind `before`, at least.
        first: Seed of the first start that was tried for them.
        tries: Attempts at a start.
        before: Episodes that are left out at the beginning.
    """
    seeds, attempts = (store.episode_attrs[name][before:] for name in ("seed", "attempts"))
    unsolved = int(seeds[-1]) + 1 - first - len(seeds)
    return int(attempts.sum()) + tries * unsolved, unsolved


class _Generator:
    """Attempts batches of starts, and stores what succeeded in the order of the starts."""

    def __init__(
        self,
        writer: DemoWriter,
        envs: ChunkedEnvs,
        carrier: Carrier,
        wanted: int,
        on_episode: Callable[[Generated], None],
    ) -> None:
        self.writer, self.envs, self.carrier, self.on_episode = writer, envs, carrier, on_episode
        self.wanted, self.before = wanted, writer.num_episodes
        self.start = int(writer.episode_attrs["seed"][-1]) + 1 - carrier.seed if self.before else 0
        self.first = self.start
        self.earlier = attempts_behind(writer, carrier.seed, carrier.tries)[0] if self.before else 0
        self.attempts = self.unsolved = self.fruitless = 0  # the last: attempts since the last success
        self.faults: list[str] = []  # of broken attempts
        self.solved: dict[int, Episode] = {}

    def run(self) -> Generated:
        """Go on until the store holds as many as are wanted."""
        while self.writer.num_episodes < self.wanted:
            starts = range(self.start, self.start + len(self.carrier.stopped))
            try:
                self._attempt(starts)
            except BaseException as stop:  # also Ctrl-C: what is finished, up to the first start that is not, is kept
                self._store(takewhile(self.solved.__contains__, starts))
                if isinstance(stop, KeyboardInterrupt):
                    self._warn()
                raise
            self.unsolved += len(starts) - len(self.solved)
            self._store(start for start in starts if start in self.solved)
            self.start, self.solved = starts.stop, {}
        return self._end()

    def _end(self) -> Generated:
        """What led to the stored episodes; what else was attempted beside them depends on `num_envs`."""
        self._warn()
        if self.writer.num_episodes == self.before:
            return self._progress()
        first = self.carrier.seed + self.first
        attempts, unsolved = attempts_behind(self.writer, first, self.carrier.tries, self.before)
        return replace(self._progress(), attempts=attempts, unsolved=unsolved)

    def _store(self, starts: Iterable[int]) -> None:
        self.writer.extend([self.solved[start] for start in islice(starts, self.wanted - self.writer.num_episodes)])

    def _attempt(self, starts: range) -> None:
        for attempt in range(self.carrier.tries):
            episodes = [start * self.carrier.tries + attempt for start in starts if start not in self.solved]
            if episodes:
                run_episodes(
                    self.envs,
                    self.carrier,
                    episodes,
                    repeats=self.carrier.tries,
                    max_steps=self.envs.cfg.max_episode_steps,
                    on_done=self._take,
                )
            if self.fruitless >= self._patience():
                said = [f"none of {self.fruitless} attempts in a row succeeded", *self._oddities()]
                raise UserError(f"environment {self.envs.cfg.id}: {'; '.join(said)}")

    def _patience(self) -> float:
        """Attempts without a success after which something must be wrong; an environment may break at any time."""
        successes = self.writer.num_episodes + len(self.solved)
        return max(float(HOPELESS), DROUGHT * (self.earlier + self.attempts) / successes if successes else 0.0)

    def _warn(self) -> None:
        for line in self._oddities():
            warn(f"environment {self.envs.cfg.id}: {line}")

    def _oddities(self) -> Iterator[str]:
        """What is odd about the environment, and no fault of what is carried over."""
        broken, key = len(self.faults), self.envs.cfg.success_key
        if broken:
            yield f"{broken} {'attempt is' if broken == 1 else 'attempts are'} broken; the first: {self.faults[0]}"
        if self.attempts > broken and not self.envs.tells_success:
            held = ", ".join(self.envs.info_keys) or "nothing"
            wanted = key or "success or is_success"
            yield f"info never tells of success ({wanted}), it holds {held}; name the key that does, `env.success_key`"

    def _take(self, trajectory: Trajectory) -> None:
        self.attempts += 1
        self.fruitless += 1
        if trajectory.broken:
            self.faults.append(fault_in(trajectory.reason))
        if trajectory.success:
            self.fruitless = 0
            episode = self.carrier.take(trajectory.episode, trajectory.mode)
            self.solved[trajectory.episode // self.carrier.tries] = episode
        else:
            self.carrier.drop(trajectory.episode)
        self.on_episode(self._progress())

    def _progress(self) -> Generated:
        stored = min(self.writer.num_episodes + len(self.solved), self.wanted)
        return Generated(stored, self.before, len(self.carrier.sources), self.attempts, self.unsolved)

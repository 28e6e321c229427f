"""Stores of demonstrations that were carried over, in tasks and in environments of others."""

import dataclasses
import json
import re

import gymnasium as gym
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from robolearn import Episode
from robolearn.contract import Scene
from robolearn.data.attrs import StoreAttrs
from robolearn.data.collect import collect
from robolearn.data.store import DemoStore
from robolearn.data.writer import DemoWriter
from robolearn.errors import UserError
from robolearn.generation import generate as module
from robolearn.generation.config import GenerateConfig, SceneConfig
from robolearn.generation.generate import generate
from robolearn.rollout.env_config import EnvConfig

PUSH = "envs:robolearn/Push-v0"


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    path = tmp_path_factory.mktemp("few") / "push.zarr"
    collect(PUSH, 4, path)
    return path


class Reach(gym.Env):
    """The hand goes where it is sent, unless that is further than a tenth, and has to come to a mark."""

    observation_space = gym.spaces.Dict(
        {
            "pose": gym.spaces.Box(-9, 9, (2,), np.float32),
            "mark": gym.spaces.Box(-9, 9, (2,), np.float32),
            "image": gym.spaces.Box(0, 255, (8, 8, 3), np.uint8),
        }
    )
    action_space = gym.spaces.Box(-9, 9, (2,), np.float32)

    def __init__(self, breaks=0.0, key="success"):
        self.breaks, self.key = breaks, key

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if self.np_random.uniform() < self.breaks:
            raise RuntimeError(f"gripper limit exceeded at {seed}")
        self.pose = self.np_random.uniform(-0.1, 0.1, 2)
        self.mark = self.np_random.uniform(0.3, 0.7, 2)
        return self._obs(), {}

    def step(self, action):
        way = action - self.pose
        self.pose = self.pose + way * min(1.0, 0.1 / max(np.linalg.norm(way), 1e-9))
        near = bool(np.linalg.norm(self.pose - self.mark) < 0.02)
        return self._obs(), float(near), near, False, {self.key: near}

    def _obs(self):
        shade = np.uint8(255 * np.clip(self.pose[0], 0, 1))
        numbers = {"pose": self.pose.astype(np.float32), "mark": self.mark.astype(np.float32)}
        return numbers | {"image": np.full((8, 8, 3), shade, np.uint8)}


gym.register("test/Generated-v0", Reach, max_episode_steps=40)
REACH = EnvConfig("test/Generated-v0")
MARKED = SceneConfig("pose", ("mark=mark",), near=0.05)


@pytest.fixture
def reached(tmp_path):
    """Three demonstrations with images."""
    env, episodes = Reach(), []
    for seed in range(3):
        rows, actions = [env.reset(seed=seed)[0]], []
        for step in np.linspace(0.1, 1, 10):
            actions.append((1 - step) * rows[0]["pose"] + step * rows[0]["mark"])
            rows.append(env.step(actions[-1])[0])
        obs = {key: np.stack([row[key] for row in rows[:-1]]) for key in rows[0]}
        episodes.append(Episode(obs, np.array(actions, np.float32)))
    attrs = StoreAttrs(env_id="test/Generated-v0", control_dt=0.1, obs_keys=("pose", "mark", "image"))
    DemoWriter.begin(tmp_path / "reached.zarr", attrs=attrs).extend(episodes)
    return tmp_path / "reached.zarr"


def test_what_is_generated_solves_the_task_from_starts_of_its_own(few, tmp_path):
    done = generate(few, 6, tmp_path / "x.zarr", GenerateConfig(num_envs=4, noise=0.002))
    store, source = DemoStore.open(tmp_path / "x.zarr"), DemoStore.open(few)
    assert (done.stored, done.before, done.sources, store.num_episodes) == (6, 0, 4, 6)
    assert (store.attrs.env_id, store.attrs.control_dt, store.attrs.obs_keys) == (PUSH, 0.05, ("state",))
    assert "4 episodes of push.zarr" in store.attrs.expert
    assert (np.diff(store.episode_attrs["seed"]) > 0).all()
    assert store.episode_attrs["seed"][0] >= 3_000_000
    assert set(store.episode_attrs["source_episode"]) <= set(range(4))
    env = gym.make(PUSH).unwrapped
    for index in range(6):
        episode, seed = store.episode(index), int(store.episode_attrs["seed"][index])
        np.testing.assert_allclose(env.reset(seed=seed)[0]["state"], episode.obs["state"][0], atol=1e-6)
        number = int(store.episode_attrs["source_episode"][index])
        assert store.episode_attrs["mode"][index] == source.episode_attrs["mode"][number]
        goals = np.array([[-0.22, 0.0], [0.22, 0.0]])
        blocks = episode.obs["state"][-1, [[2, 3], [6, 7]]]
        gaps = np.linalg.norm(blocks[:, None] - goals, axis=-1)
        assert gaps.min(axis=1).max() < 0.07
        assert len(episode) < 2 * len(source.episode(number))


def test_it_depends_on_neither_environments_nor_interruptions(few, tmp_path):
    def interrupt(now):
        if now.stored == 4:
            raise KeyboardInterrupt

    generate(few, 7, tmp_path / "a.zarr", GenerateConfig(num_envs=7, noise=0.002))
    with pytest.raises(KeyboardInterrupt):
        generate(few, 7, tmp_path / "b.zarr", GenerateConfig(num_envs=3, noise=0.002), on_episode=interrupt)
    kept = DemoStore.open(tmp_path / "b.zarr").num_episodes
    assert 3 <= kept <= 4
    done = generate(few, 7, tmp_path / "b.zarr", GenerateConfig(num_envs=2, noise=0.002))
    assert (done.stored, done.before) == (7, kept)
    one, other = (DemoStore.open(tmp_path / name) for name in ("a.zarr", "b.zarr"))
    assert one.content_hash() == other.content_hash()
    assert one.episode_attrs["seed"].tolist() == other.episode_attrs["seed"].tolist()


def test_an_environment_of_another_with_images_and_a_scene_in_words(reached, tmp_path):
    cfg = GenerateConfig(env=REACH, scene=MARKED, num_envs=2)
    assert generate(reached, 5, tmp_path / "x.zarr", cfg).stored == 5
    store = DemoStore.open(tmp_path / "x.zarr")
    for index in range(5):
        episode = store.episode(index)
        assert episode.obs["image"].dtype == np.uint8
        shade = (255 * np.clip(episode.obs["pose"][:, 0], 0, 1)).astype(np.uint8)
        assert np.abs(episode.obs["image"][:, 0, 0, 0].astype(int) - shade).max() <= 1
        assert np.linalg.norm(episode.actions[-1] - episode.obs["mark"][-1]) < 0.12


def test_what_is_shaken_is_executed_and_not_recorded(reached, tmp_path):
    stores = []
    for noise in (0.0, 0.01):
        path = tmp_path / f"{noise}.zarr"
        generate(reached, 3, path, GenerateConfig(env=REACH, scene=MARKED, num_envs=3, tries=1, noise=noise, seed=5))
        stores.append(DemoStore.open(path))
    assert stores[0].episode_attrs["seed"][0] == stores[1].episode_attrs["seed"][0]
    calm, shaken = (store.episode(0) for store in stores)
    np.testing.assert_array_equal(calm.actions[0], shaken.actions[0])
    assert (calm.obs["pose"][1] != shaken.obs["pose"][1]).all()


def test_other_demonstrations_of_the_same_name_are_others(reached, tmp_path):
    """Even if they differ in nothing but a hair of the actions."""
    cfg, source = GenerateConfig(env=REACH, scene=MARKED, num_envs=2), DemoStore.open(reached)
    generate(reached, 1, tmp_path / "x.zarr", cfg)
    some = [source.episode(index) for index in range(source.num_episodes)]
    others = [Episode(one.obs, one.actions + np.float32(1e-4), one.attrs) for one in some]
    DemoWriter.create(other := tmp_path / "else" / reached.name, attrs=source.attrs).extend(others)
    with pytest.raises(UserError, match="exists already, generated otherwise, of other demonstrations"):
        generate(other, 2, tmp_path / "x.zarr", cfg)


def test_how_many_attempts_it_took_does_not_depend_on_how_many_ran_beside_one_another(few, tmp_path):
    """Where some fail, as is likely of so much noise."""
    cfg = GenerateConfig(noise=0.03, tries=2)
    one, many = (generate(few, 3, tmp_path / f"{n}.zarr", dataclasses.replace(cfg, num_envs=n)) for n in (1, 8))
    assert one == many
    assert one.attempts > 3
    attempts = DemoStore.open(tmp_path / "1.zarr").episode_attrs["attempts"]
    assert one.attempts == attempts.sum() + 2 * one.unsolved


def test_the_nearest_demonstration_is_tried_first(reached, tmp_path):
    cfg = GenerateConfig(env=REACH, scene=MARKED, num_envs=2, order="nearest", tries=1)
    generate(reached, 4, tmp_path / "x.zarr", cfg)
    store, source = DemoStore.open(tmp_path / "x.zarr"), DemoStore.open(reached)
    marks = np.stack([source.episode(index).obs["mark"][0] for index in range(source.num_episodes)])
    for index in range(4):
        apart = np.linalg.norm(marks - store.episode(index).obs["mark"][0], axis=1)
        assert store.episode_attrs["source_episode"][index] == apart.argmin()


def test_attempts_take_the_demonstrations_in_turn(reached, tmp_path, monkeypatch):
    """None succeeds: each of the three is tried twice at every start."""
    monkeypatch.setattr(module, "HOPELESS", 12)
    tried = []
    take = module.Carrier.drop

    def drop(self, episode):
        tried.append((episode // 6, self._attempts[episode].source))
        take(self, episode)

    monkeypatch.setattr(module.Carrier, "drop", drop)
    away = SceneConfig("pose", ("mark=pose",), near=0.05)  # the hand is always there
    cfg = GenerateConfig(env=REACH, scene=away, num_envs=2, tries=6)
    with pytest.raises(UserError, match="test/Generated-v0: none of 12 attempts in a row succeeded"):
        generate(reached, 5, tmp_path / "x.zarr", cfg)
    assert sorted(tried) == [(start, source) for start in (0, 1) for source in (0, 0, 1, 1, 2, 2)]


def test_attempts_that_broke_are_counted_and_the_first_is_explained(reached, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "HOPELESS", 12)
    env = EnvConfig("test/Generated-v0", {"breaks": 0.5})
    cfg = GenerateConfig(env=env, scene=MARKED, num_envs=2, tries=1)
    assert generate(reached, 3, tmp_path / "x.zarr", cfg).stored == 3
    said = r"warning: environment test/Generated-v0: \d attempts? (is|are) broken; the first: .*gripper limit exceeded"
    assert re.search(said, capsys.readouterr().err)
    cfg = dataclasses.replace(cfg, env=dataclasses.replace(env, kwargs={"breaks": 1.0}))
    with pytest.raises(
        UserError, match=r"none of 12 attempts in a row succeeded; 12 attempts are broken; the first: .*gripper"
    ):
        generate(reached, 3, tmp_path / "y.zarr", cfg)


def test_an_environment_that_breaks_for_good_is_given_up(reached, tmp_path, monkeypatch):
    """Also after attempts that succeeded, in this call or in an earlier one; these are kept."""
    monkeypatch.setattr(module, "HOPELESS", 4)
    monkeypatch.setattr(module, "DROUGHT", 2)
    cfg, out = GenerateConfig(env=REACH, scene=MARKED, num_envs=1, tries=1), tmp_path / "x.zarr"

    def burn_out(progress):
        if progress.stored == 3:
            monkeypatch.setattr(Reach, "breaks", 1.0, raising=False)

    monkeypatch.setattr(Reach, "__init__", lambda self: setattr(self, "key", "success"))
    monkeypatch.setattr(Reach, "breaks", 0.0, raising=False)
    for _ in range(2):
        with pytest.raises(UserError, match=r"none of \d attempts in a row succeeded; \d attempts are broken"):
            generate(reached, 5, out, cfg, on_episode=burn_out)
        assert DemoStore.open(out).num_episodes == 3
    monkeypatch.setattr(Reach, "breaks", 0.0)
    assert generate(reached, 5, out, cfg).stored == 5


@pytest.mark.parametrize(
    ("success_key", "said"),
    [
        (None, r"succeeded; info never tells of success \(success or is_success\), it holds done.*; name the key that"),
        (
            "solved",
            r"succeeded; info never tells of success \(solved\), it holds done.*; name the key that",
        ),
    ],
)
def test_an_environment_that_never_tells_of_success_is_told_from_a_hopeless_one(
    reached, tmp_path, monkeypatch, success_key, said
):
    monkeypatch.setattr(module, "HOPELESS", 4)
    env = EnvConfig("test/Generated-v0", {"key": "done"}, success_key=success_key)
    with pytest.raises(UserError, match=said):
        generate(reached, 3, tmp_path / "x.zarr", GenerateConfig(env=env, scene=MARKED, num_envs=2, tries=2))
    named = dataclasses.replace(env, success_key="done")
    assert generate(reached, 1, tmp_path / "y.zarr", GenerateConfig(env=named, scene=MARKED, num_envs=2)).stored == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"env": EnvConfig("envs:robolearn/Avoid-v0")}, "Avoid-v0 declares no scene; say with `scene.hand`"),
        ({"sources": 5}, "holds 4 episodes, `sources` asks for 5"),
        ({"scene": SceneConfig("state[:2]", ("red=pose[2:4]",))}, "there is no key pose"),
        ({"obs_keys": ("pixels",)}, "no key pixels; there are"),
    ],
)
def test_what_cannot_be_generated_is_said_before_anything_is_written(few, tmp_path, options, said):
    with pytest.raises(UserError, match=said):
        generate(few, 5, tmp_path / "x.zarr", GenerateConfig(**options))
    assert not (tmp_path / "x.zarr").exists()


@pytest.mark.parametrize(
    "changed",
    [
        {"noise": 0.002},
        {"order": "nearest"},
        {"sources": 2},
        {"scene": dataclasses.replace(MARKED, near=0.06)},
        {"scene": SceneConfig("pose", ("mark=pose",), near=0.05)},
        {"env": dataclasses.replace(REACH, max_episode_steps=39)},
    ],
)
def test_a_store_that_was_generated_otherwise_is_left_alone(reached, tmp_path, changed):
    begun = GenerateConfig(env=REACH, scene=MARKED, num_envs=2)
    generate(reached, 1, tmp_path / "x.zarr", begun)
    with pytest.raises(UserError, match="exists already, generated otherwise"):
        generate(reached, 2, tmp_path / "x.zarr", dataclasses.replace(begun, **changed))
    assert generate(reached, 1, tmp_path / "x.zarr", dataclasses.replace(begun, num_envs=3)).before == 1


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: GenerateConfig(tries=0), "`tries` 0 must be at least 1"),
        (lambda: GenerateConfig(noise=float("nan")), "`noise` nan must be at least 0"),
        (lambda: SceneConfig("state[:2]"), "give both"),
        (lambda: SceneConfig(carries=True), "say where things are"),
        (lambda: SceneConfig("a", ("b=b",), carries=True, turns=True), "what is carried is not pushed"),
        (lambda: SceneConfig("a", ("b=b",), gain=0.0), "must be above 0"),
        (lambda: SceneConfig("a", ("b=b",), near=-1.0), "must be a distance"),
    ],
)
def test_options_that_cannot_be_meant(make, said):
    with pytest.raises(UserError, match=said):
        make()


def test_an_order_that_does_not_exist():
    with pytest.raises((UserError, TypeCheckError), match=r"order.*random.*nearest"):
        GenerateConfig(order="far")


def test_a_declared_scene_is_of_one_kind():
    with pytest.raises(ValueError, match="give `carries` or `turns`"):
        Scene(lambda obs: obs["a"], lambda obs: {}, carries=True, turns=True)


def test_the_command_says_what_there_is_now(few, tmp_path, capsys):
    from robolearn.commands.main import main

    out = tmp_path / "x.zarr"
    main(["generate", str(few), "--sources", "2", "--episodes", "3", "--num-envs", "2", "--out", str(out)])
    said = capsys.readouterr().out
    assert f"{out}: 3 episodes, from 2 demonstrations" in said
    assert json.loads((out / "zarr.json").read_text())["attributes"]["env_id"] == PUSH

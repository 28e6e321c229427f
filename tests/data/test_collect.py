"""Recording: what is stored depends on the seeds alone, and an interruption loses nothing."""

import json

import numpy as np
import pytest

from robolearn.data import collect as collect_module
from robolearn.data.collect import collect
from robolearn.data.store import DemoStore
from robolearn.data.writer import DemoWriter

LINE = "tests.data.line_env:test/Line-v0"


def test_records_observation_before_the_step_and_the_label(tmp_path):
    done = collect(LINE, 5, tmp_path / "x.zarr", seed=1, num_envs=3)
    assert (done.stored, done.before, done.dropped) == (5, 0, 1)
    store = DemoStore.open(tmp_path / "x.zarr")
    assert store.episode_attrs["seed"].tolist() == [1, 2, 3, 5, 6]  # 4 failed
    assert store.episode_attrs["success"].all()
    assert store.episode_attrs["mode"].tolist() == [1, 2, 0, 2, 0]
    assert (store.attrs.env_id, store.attrs.control_dt, store.attrs.obs_keys) == (LINE, 0.5, ("state",))
    assert store.attrs.units == {"action": "m"}
    for i, seed in enumerate(store.episode_attrs["seed"]):
        episode = store.episode(i)
        label = 0.1 + 0.05 * (seed % 7)
        steps = int(np.ceil(1 / (0.9 * label) - 1e-9))
        np.testing.assert_allclose(episode.actions, np.full((steps, 1), label), rtol=1e-6)
        np.testing.assert_allclose(episode.obs["state"][:, 0], 0.9 * label * np.arange(steps), rtol=1e-5)
        assert (episode.obs["state"][:, 1] == seed).all()


@pytest.mark.parametrize("keep_failures", [False, True])
def test_does_not_depend_on_the_number_of_environments(tmp_path, monkeypatch, keep_failures):
    monkeypatch.setattr(collect_module, "FLUSH_EPISODES", 4)
    hashes = set()
    for num_envs in (1, 3, 64):
        out = tmp_path / f"{num_envs}.zarr"
        collect(LINE, 10, out, num_envs=num_envs, keep_failures=keep_failures)
        store = DemoStore.open(out)
        assert store.num_episodes == 10
        hashes.add(store.content_hash())
    assert len(hashes) == 1
    assert store.episode_attrs["success"].all() == (not keep_failures)


def test_interrupted_and_continued_equals_in_one_go(tmp_path):
    def interrupt(now):
        if now.stored == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(LINE, 9, tmp_path / "a.zarr", num_envs=4, on_episode=interrupt)
    assert DemoStore.open(tmp_path / "a.zarr").num_episodes == 5
    done = collect(LINE, 9, tmp_path / "a.zarr", num_envs=2)
    assert (done.stored, done.before) == (9, 5)
    collect(LINE, 9, tmp_path / "b.zarr")
    a, b = (DemoStore.open(tmp_path / name) for name in ("a.zarr", "b.zarr"))
    assert a.content_hash() == b.content_hash()
    assert a.episode_attrs["seed"].tolist() == b.episode_attrs["seed"].tolist()


def test_an_interruption_while_episodes_are_written_loses_none(tmp_path, monkeypatch):
    write, calls = DemoWriter._write, []

    def interrupted(self, episodes, *others):
        calls.append(len(episodes))
        if len(calls) == 1:
            raise KeyboardInterrupt
        write(self, episodes, *others)

    monkeypatch.setattr(DemoWriter, "_write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        collect(LINE, collect_module.FLUSH_EPISODES + 3, tmp_path / "x.zarr", num_envs=4)
    assert calls == [collect_module.FLUSH_EPISODES] * 2
    assert DemoStore.open(tmp_path / "x.zarr").num_episodes == collect_module.FLUSH_EPISODES


def test_nothing_to_do(tmp_path):
    collect(LINE, 3, tmp_path / "a.zarr")
    done = collect(LINE, 2, tmp_path / "a.zarr")
    assert (done.stored, done.before, done.dropped) == (3, 3, 0)


def test_refusals(tmp_path):
    collect(LINE, 2, tmp_path / "a.zarr")
    for arguments, message in [
        ((LINE, 2, tmp_path / "a.zarr", 7), "recorded with other settings"),
        (("tests.data.line_env:test/Expertless-v0", 2, tmp_path / "b.zarr"), "has no scripted expert"),
        (("tests.data.line_env:test/Absent-v0", 2, tmp_path / "b.zarr"), "test/Absent-v0"),
        (("no_such_module:test/Line-v0", 2, tmp_path / "b.zarr"), "no_such_module"),
        ((LINE, 0, tmp_path / "b.zarr"), "at least 1 episode"),
    ]:
        with pytest.raises(ValueError, match=message):
            collect(*arguments)
    assert not (tmp_path / "b.zarr").exists()


def test_a_hopeless_expert_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(collect_module, "MIN_ATTEMPTS", 20)
    with pytest.raises(ValueError, match="the expert solved only 0 of 20 episodes"):
        collect("tests.data.line_env:test/Hopeless-v0", 2, tmp_path / "a.zarr")


def test_the_store_keeps_the_keyword_arguments_of_the_environment(tmp_path):
    """A call without them does not go on with it."""
    avoid, out = "envs:robolearn/Avoid-v0", tmp_path / "a.zarr"
    collect(avoid, 2, out, env_kwargs={"moved": 0.03, "look": "random"})
    assert DemoStore.open(out).attrs.env_kwargs == {"moved": 0.03, "look": "random"}
    with pytest.raises(ValueError, match="recorded with other settings"):
        collect(avoid, 3, out)
    with pytest.raises(ValueError, match="look='sunny' is unknown; choose from real, random"):
        collect(avoid, 2, tmp_path / "b.zarr", env_kwargs={"look": "sunny"})


@pytest.mark.usefixtures("gl")
def test_images_are_stored_as_they_are_in_small_chunks(tmp_path):
    hashes = set()
    for num_envs in (1, 2):
        collect("envs:robolearn/AvoidPixels-v0", 2, tmp_path / f"{num_envs}.zarr", seed=3, num_envs=num_envs)
        store = DemoStore.open(tmp_path / f"{num_envs}.zarr")
        hashes.add(store.content_hash())
    assert len(hashes) == 1
    assert set(store.attrs.obs_keys) == {"image", "state"}
    assert store.dtypes["image"] == np.uint8
    assert store.shapes["image"] == (96, 96, 3)
    assert json.loads((store.path / "data/image/zarr.json").read_text())["chunk_grid"]["configuration"][
        "chunk_shape"
    ] == [100, 96, 96, 3]
    first, later = store.episode(0).obs["image"][[0, 60]]
    assert (first != later).any()
    assert (first != store.episode(1).obs["image"][0]).any()  # its rows stand elsewhere

"""Keys of a store made of others as they are read, from the windows of a training to the policy in its environment."""

import gymnasium as gym
import numpy as np
import pytest
import zarr

from robolearn.config import read_json
from robolearn.data.attrs import StoreAttrs
from robolearn.data.demos import Demos
from robolearn.data.mapped import open_mapped
from robolearn.data.store import DemoStore
from robolearn.data.windows import Windows
from robolearn.data.writer import DemoWriter
from robolearn.evaluation.agent import Agent
from robolearn.keymap import KeyMap
from robolearn.types import Episode
from tests.rollout import bad_envs

LENGTHS = (9, 12, 10)


class Raw(bad_envs.Good):
    """Names its observations as the store does, and has one that the store has in two parts."""

    observation_space = gym.spaces.Dict({"qpos": bad_envs.BOX, "qvel": bad_envs.BOX})

    def show(self, obs):
        return {"qpos": obs, "qvel": -obs}


gym.register("test/Raw-v0", entry_point=Raw, max_episode_steps=6, disable_env_checker=True)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path, rng = tmp_path_factory.mktemp("mapped") / "raw.zarr", np.random.default_rng(3)
    with DemoWriter.create(path, attrs=StoreAttrs(env_id="test/Raw-v0", obs_keys=("qpos", "qvel"))) as writer:
        for length in LENGTHS:
            obs = {key: rng.normal(size=(length, 2)).astype(np.float32) for key in ("qpos", "qvel", "goal")}
            writer.append(Episode({**obs, "wide": np.zeros((length, 3), np.float32)}, rng.normal(size=(length, 2))))
    return path


def test_windows_are_those_of_keys_that_were_written_so(store, tmp_path):
    texts = ["state=qvel[1]+qpos", "goal=goal[0]", "action=action[1,0]"]
    mapped = Demos.open([store], KeyMap.parse(texts))
    with DemoWriter.create(tmp_path / "plain.zarr", attrs=StoreAttrs()) as writer:
        for i in range(len(LENGTHS)):
            one = DemoStore.open(store).episode(i)
            state = np.concatenate([one.obs["qvel"][:, 1:], one.obs["qpos"]], 1)
            writer.append(Episode({"state": state, "goal": one.obs["goal"][:, :1]}, one.actions[:, ::-1].copy()))
    plain = Demos.open([tmp_path / "plain.zarr"])
    one, other = (Windows.from_store(demos, ("state", "goal"), 2, 4) for demos in (mapped, plain))
    assert one.obs_shapes == other.obs_shapes == {"state": (3,), "goal": (1,)}
    for key, rows in other.arrays().items():
        np.testing.assert_array_equal(one.arrays()[key], rows)


def test_an_episode_has_the_keys_that_are_made(store):
    """A key that takes the name of its source too, and rows that are asked for alone."""
    recorded = DemoStore.open(store).episode(1)
    mapped = open_mapped(store, KeyMap.parse(["qpos=qpos[0]", "state=qvel[1]+goal", "action=action[1,0]"]))
    episode, first = mapped.episode(1), LENGTHS[0]
    assert sorted(episode.obs) == ["qpos", "state", "wide"]
    np.testing.assert_array_equal(episode.obs["qpos"], recorded.obs["qpos"][:, :1])
    state = np.concatenate([recorded.obs["qvel"][:, 1:], recorded.obs["goal"]], 1)
    np.testing.assert_array_equal(episode.obs["state"], state)
    np.testing.assert_array_equal(episode.actions, recorded.actions[:, ::-1])
    np.testing.assert_array_equal(mapped.rows("state", first + 2, first + 5), state[2:5])
    np.testing.assert_array_equal(mapped.rows("qvel", first, first + 2), recorded.obs["qvel"][:2])


def test_actions_may_be_called_otherwise(tmp_path):
    """By others, that is: our own writer has a name for them."""
    group = zarr.create_group(tmp_path / "foreign.zarr", zarr_format=2)
    for name, rows in (("data/actions", np.ones((9, 2), "f4")), ("data/state", np.zeros((9, 1), "f4"))):
        group.create_array(name, data=rows)
    group.create_array("meta/episode_ends", data=np.array([4, 9], np.int32))
    mapped = open_mapped(tmp_path / "foreign.zarr", KeyMap.parse(["action=actions"]))
    assert mapped.episode(1).actions.tolist() == [[1, 1]] * 5
    assert len(mapped.content_hash(["state", "action"])) == 64


@pytest.mark.parametrize("share", [None, 0.0, 0.1, 0.5, 0.9])
def test_sources_that_come_in_other_portions_stay_in_step(store, share, monkeypatch):
    whole = open_mapped(store, KeyMap.parse(["x=wide+qpos+goal"])).read("x")
    real, calls = DemoStore.slabs, []

    def portions(self, key, wanted=None):
        size = {"wide": 4, "qpos": 3, "goal": 7}[key]
        rows = np.concatenate([rows for _, rows in real(self, key)])
        calls.append(key)
        for start in range(0, len(rows), size):
            if wanted is None or wanted[start : start + size].any():
                yield start, rows[start : start + size]

    monkeypatch.setattr(DemoStore, "slabs", portions)
    mapped = open_mapped(store, KeyMap.parse(["x=wide+qpos+goal"]))
    for seed in range(20):
        wanted = None if share is None else np.random.default_rng(seed).random(len(whole)) < share
        seen = np.full_like(whole, np.nan)
        for start, rows in mapped.slabs("x", wanted):
            assert np.isnan(seen[start : start + len(rows)]).all()
            seen[start : start + len(rows)] = rows
        expected = whole if wanted is None else np.where(wanted[:, None], whole, np.nan)
        np.testing.assert_array_equal(seen, expected)
    assert share is not None or calls == ["wide", "qpos", "goal"] * 20, "each is read once"


def test_the_hash_is_of_what_keys_are_made_of_and_how(store):
    def hash_of(*texts, keys=("x", "action")):
        return Demos.open([store], KeyMap.parse(texts)).content_hash(keys)

    hashes = {hash_of("x=qpos"), hash_of("x=qvel"), hash_of("x=qpos[0]"), hash_of("x=qpos", "action=action[0]")}
    assert len(hashes) == 4
    assert hash_of("x=qpos", keys=["qpos", "action"]) == DemoStore.open(store).content_hash(["qpos", "action"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "x=nothing",
            "keys made of others: x=nothing: there is no key nothing; there are action, goal, qpos, qvel, wide",
        ),
        ("x=qpos[2]", "qpos has 2 entries there"),
        ("x:uint8=qpos", "rows from 0 on: x:uint8=qpos: .* is no uint8"),
    ],
)
def test_what_cannot_be_made_is_refused(store, text, said):
    with pytest.raises(ValueError, match=said) as refused:
        open_mapped(store, KeyMap.parse([text])).read("x")
    assert "\n" not in str(refused.value)


def test_a_policy_of_mapped_keys_meets_its_environment_and_its_robot(
    store, tmp_path, train_main, eval_main, tiny_flags
):
    """What the data were mapped by is in config.json, and neither eval.py nor an agent needs it again."""
    run = tmp_path / "run"
    flags = [*tiny_flags, "--dataset.path", str(store), "--steps", "2", "--out", str(run)]
    train_main([*flags, "--dataset.obs", "state=qpos+qvel[0]", "--trust"])
    config = read_json(run / "config.json")
    assert config["dataset"]["obs"] == ["state=qpos+qvel[0]"]
    assert config["env"]["obs"] == ["state?=qpos+qvel[0]"]
    eval_main([str(run), "--episodes", "2", "--videos", "0", "--trust"])
    assert read_json(run / "eval" / "summary.json")["summary"]["num_broken"] == 0
    raw = {"qpos": np.array([1.0, 2.0]), "qvel": np.array([3.0, 4.0])}
    seen = [Agent(run), Agent(run)]
    one, other = seen[0].act(raw), seen[1].act({"state": np.array([1.0, 2.0, 3.0])})
    np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="observation 'state' is missing"):
        seen[0].act({"qpos": raw["qpos"]})

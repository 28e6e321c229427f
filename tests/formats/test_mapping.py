"""Keys that are made of others while demonstrations are imported."""

import gymnasium as gym
import numpy as np
import pytest

from robolearn.commands.main import main
from robolearn.data.demos import Demos
from robolearn.data.store import DemoStore
from robolearn.formats.format import Format, ImportOptions, Recording
from robolearn.formats.registry import FORMATS
from robolearn.formats.transfer import import_demos
from robolearn.keymap import KeyMap
from tests.rollout import bad_envs

MAPS = (
    ("pose=state[:2]", "img=top"),
    ("state=states[1,0]+state", "action:float32=action[0]"),
    ("top=top", "seen:float32=reward+states[-1]"),
    ("reward?=states", "goal?=states[:3]"),
    ("action=states",),
    ("'a+b'=top[2:4][0]",),
)


class Named(bad_envs.Good):
    """Names its observation as the store does."""

    observation_space = gym.spaces.Dict({"state": bad_envs.BOX})

    def show(self, obs):
        return {"state": obs}


gym.register("test/Mapped-v0", entry_point=Named, max_episode_steps=6, disable_env_checker=True)


@pytest.fixture
def rich(rich_store, monkeypatch):
    """A format whose source is a store, and that store."""

    def read(source, options):
        store = DemoStore.open(source)
        return Recording(store.attrs, map(store.episode, range(store.num_episodes)), ("colors are not kept",))

    monkeypatch.setitem(FORMATS, "rich", Format("stores", read))
    return rich_store


@pytest.mark.parametrize("obs", MAPS)
def test_an_import_writes_what_a_training_with_the_same_map_sees(rich, obs, tmp_path):
    import_demos(rich, tmp_path / "x.zarr", "rich", ImportOptions(obs=obs))
    written, seen = Demos.open(tmp_path / "x.zarr"), Demos.open(rich, KeyMap.parse(obs))
    assert sorted(written.keys) == sorted(seen.keys)
    assert written.attrs == seen.attrs
    for key in seen.keys:
        ours, theirs = (demos.stores[0].read(key) for demos in (written, seen))
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_what_is_known_of_keys_goes_along_and_what_is_left_out_is_said(rich, tmp_path):
    obs = ("pose=state[:2]", "img=top", "act=action[1]", "both=action+state")
    done = import_demos(rich, tmp_path / "x.zarr", "rich", ImportOptions(obs=obs))
    assert done.lost == ("colors are not kept",)
    attrs = DemoStore.open(done.path).attrs
    assert attrs.obs_keys == ("pose", "img", "act", "both")
    assert (attrs.units, attrs.names) == ({"pose": "m"}, {"action": ("x", "y"), "act": ("y",)})
    done = import_demos(rich, tmp_path / "y.zarr", "rich", ImportOptions(obs=obs[:1]))
    assert done.lost[1:] == ("state but for what is made of it; `obs` state=state keeps it whole too",)
    assert sorted(DemoStore.open(done.path).keys) == ["action", "pose", "reward", "states", "top"]


@pytest.mark.parametrize(
    ("obs", "said"),
    [
        (["x=nothing"], "--obs x=nothing: there is no key nothing; there are action, "),
        (["x=state[:4]"], "--obs state[:4]: state has 3 entries there, [:4] asks for others"),
        (["x=state", "x=top"], "--obs: x is given twice"),
        (["a/b=state"], "--obs: key 'a/b' holds a slash"),
        (["x=state[y]"], "--obs x=state[y]: [y] is no index"),
        (["x:uint8=state"], "is no uint8"),
        (["action=state+states+reward+top"], "nothing is left to be observed"),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_leaves_nothing(rich, obs, said, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["import", "rich", str(rich), "--out", str(tmp_path / "x.zarr"), "--obs", *obs])
    line = capsys.readouterr().err
    assert said in line
    assert line.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_inspection_sees_what_a_training_sees(rich, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["inspect", str(rich), "--dataset.obs", "pose=state[:2]", "img=top"])
    text = capsys.readouterr().out
    assert "observations pose, img" in text
    assert "pose[1]" in text
    assert "state[" not in text
    for obs, said in (("x=nothing", "there is no key nothing"), ("x=state[3]", "has 3 entries")):
        with pytest.raises(SystemExit, match="2"):
            main(["inspect", str(rich), "--dataset.obs", obs])
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("obs", "env_obs", "said"),
    [
        (["pose=state[:2]"], [], None),
        (["pose=state"], [], "'pose' has shape (2,), here it has 3 numbers"),
        (["pose=states[:2]"], [], "there is no key states"),
        (["pose=states[:2]"], ["pose=state"], None),
        (["pose=state[:2]", "action=action[0]"], [], "actions have shape (2,), recorded ones 1 numbers"),
    ],
)
def test_an_environment_is_read_as_the_inspected_keys_are(rich, obs, env_obs, said, capsys):
    flags = ["--env.id", "test/Mapped-v0", *(["--env.obs", *env_obs] if env_obs else [])]
    with pytest.raises(SystemExit, match="1" if said else "0"):
        main(["inspect", str(rich), "--dataset.obs", *obs, *flags])
    problems = [line for line in capsys.readouterr().out.splitlines() if line.startswith("problem")]
    assert len(problems) == (said is not None)
    assert said is None or said in problems[0]

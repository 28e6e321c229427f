"""The Adroit importer reads numpy from a pickle, and runs nothing."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from robolearn.data.store import DemoStore
from robolearn.formats.adroit import load_numpy_pickle
from robolearn.formats.transfer import import_demos

SHARED = Path(os.environ.get("ROBOLEARN_SHARED", Path(__file__).parents[3] / "shared"))
HUMAN = SHARED / "data" / "adroit_door" / "door-v0_demos.pickle"


def demo(steps=4, **changes):
    rng = np.random.default_rng(steps)
    return {
        "observations": rng.normal(size=(steps, 39)),
        "actions": rng.normal(size=(steps, 28)),
        "rewards": rng.normal(size=steps),
        "init_state_dict": {
            "qpos": np.zeros(30),
            "qvel": np.zeros(30),
            "door_body_pos": np.array([1.0, 2, 3]),
        },
        **changes,
    }


def dump(path, content, protocol=2):
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def import_adroit(source, out):
    return import_demos(source, out, "adroit")


class Evil:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [2, 4])
def test_import(tmp_path, protocol):
    demos = [demo(4), demo(6)]
    import_adroit(dump(tmp_path / "d.pickle", demos, protocol), tmp_path / "x.zarr")
    store = DemoStore.open(tmp_path / "x.zarr")
    assert (store.num_episodes, store.attrs.obs_keys, store.attrs.licence) == (2, ("state",), "Apache-2.0")
    episode = store.episode(1)
    np.testing.assert_allclose(episode.obs["state"], demos[1]["observations"], rtol=1e-6)
    np.testing.assert_allclose(episode.obs["reward"][:, 0], demos[1]["rewards"], rtol=1e-6)
    np.testing.assert_allclose(episode.actions, demos[1]["actions"], rtol=1e-6)
    assert episode.attrs == {"door_x": 1.0, "door_y": 2.0, "door_z": 3.0}


@pytest.mark.parametrize("function", [os.system, eval, exec, __import__])
def test_malicious_pickle_runs_nothing(tmp_path, function):
    mark = tmp_path / "mark"
    payload = {os.system: f"touch {mark}", __import__: "antigravity"}.get(function, f"open({str(mark)!r}, 'w')")
    source = dump(tmp_path / "d.pickle", [demo(), Evil(function, payload)])
    with pytest.raises(ValueError, match=r"it asks for \w+\.\w+; only numpy arrays are admitted"):
        import_adroit(source, tmp_path / "x.zarr")
    assert not mark.exists()
    assert not (tmp_path / "x.zarr").exists()


def test_numpy_functions_are_not_admitted_either():
    for function, argument in ((np.load, "x"), (np.fromfile, "x")):
        with pytest.raises(pickle.UnpicklingError):
            load_numpy_pickle(pickle.dumps(Evil(function, argument)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "expected a list"),
        ({"a": 1}, "expected a list of demonstrations, found dict"),
        ([demo(), {"actions": 1}], "episode 1: not an Adroit door demonstration"),
        ([demo(), 3], "episode 1: not an Adroit door demonstration"),
        (
            [demo(actions=np.zeros((3, 28)))],
            "episode 0: observations, actions, rewards, door position have shapes",
        ),
        (
            [demo(), demo(observations=np.full((4, 39), np.nan))],
            "episode 1: state is nan at step 0, dimension 0",
        ),
    ],
)
def test_wrong_content(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        import_adroit(dump(tmp_path / "d.pickle", content), tmp_path / "x.zarr")


@pytest.mark.parametrize("content", [b"", b"hello", pickle.dumps([demo()])[:500], b"\x80\x04" + bytes(range(99))])
def test_no_pickle(tmp_path, content):
    (tmp_path / "d.pickle").write_bytes(content)
    with pytest.raises(ValueError, match="no pickle of demonstrations"):
        import_adroit(tmp_path / "d.pickle", tmp_path / "x.zarr")
    with pytest.raises(ValueError, match="no such file"):
        import_adroit(tmp_path / "absent.pickle", tmp_path / "x.zarr")


def test_human_demonstrations(tmp_path):
    if not HUMAN.exists():
        pytest.skip(f"human demonstrations are not at {HUMAN} (set ROBOLEARN_SHARED)")
    store = import_adroit(HUMAN, tmp_path / "x.zarr")
    assert (store.num_episodes, store.num_steps) == (25, 6729)

"""Flat arrays as D4RL has them, and where they are cut."""

import h5py
import numpy as np
import pytest

from robolearn.data.store import DemoStore
from robolearn.errors import UserError
from robolearn.formats import d4rl
from robolearn.formats.format import ImportOptions
from robolearn.formats.registry import recognize
from robolearn.formats.transfer import import_demos

STEPS = 20
ROWS = np.arange(STEPS, dtype=np.float32)[:, None] * np.ones((1, 3), np.float32)


def flags(*at):
    rows = np.zeros(STEPS, bool)
    rows[list(at)] = True
    return rows


BASE = {
    "observations": ROWS,
    "actions": -ROWS[:, :2],
    "rewards": ROWS[:, 0],
    "terminals": flags(4),
    "timeouts": flags(9, 10),
    "infos/qpos": ROWS,
    "metadata/algorithm": b"SAC",
}


@pytest.fixture
def taken(tmp_path):
    def take(**changes):
        path = tmp_path / "halfcheetah.hdf5"
        with h5py.File(path, "w") as file:
            for name, rows in {**BASE, **changes}.items():
                if rows is not None:
                    file[name] = rows
        assert recognize(path) == "d4rl"
        done = import_demos(path, tmp_path / "x.zarr")
        return DemoStore.open(done.path), " | ".join(done.lost)

    return take


def test_everything_there_is(taken):
    store, lost = taken()
    assert store.episode_ends.tolist() == [5, 10, 11, 20]
    np.testing.assert_array_equal(store.read("state"), ROWS)
    np.testing.assert_array_equal(store.read("action"), -ROWS[:, :2])
    np.testing.assert_array_equal(store.read("reward"), ROWS[:, :1])
    assert store.episode_attrs["terminated"].tolist() == [True, False, False, False]
    assert store.episode_attrs["truncated"].tolist() == [False, True, True, False]
    assert store.attrs.obs_keys == ("state",)
    assert "infos.qpos" in store.keys
    assert "metadata.algorithm" in lost


@pytest.mark.parametrize(
    ("changes", "ends"),
    [
        ({"timeouts": None}, [5, 20]),
        ({"terminals": None}, [10, 11, 20]),
        ({"terminals": flags(19), "timeouts": None}, [20]),
        ({"timeouts": None, "next_observations": np.where(flags(13)[:, None], 99, ROWS + 1)}, [5, 14, 20]),
        ({"terminals": flags(4).astype(np.float32)[:, None], "timeouts": None}, [5, 20]),
    ],
)
def test_where_episodes_end(taken, monkeypatch, changes, ends):
    monkeypatch.setattr(d4rl, "BLOCK_BYTES", 50)
    store, _ = taken(**changes)
    assert store.episode_ends.tolist() == ends
    np.testing.assert_array_equal(store.read("state"), ROWS)


def test_a_number_that_is_none_ends_no_episode(tmp_path):
    """What is left out by `drop_nan` is the whole episode, and not what comes after the NaN."""
    rows = np.where(flags(7)[:, None], np.nan, ROWS)
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        for name, array in {**BASE, "timeouts": None, "observations": rows}.items():
            if array is not None:
                file[name] = array
        file["next_observations"] = np.concatenate([rows[1:], rows[-1:]])
    done = import_demos(tmp_path / "x.hdf5", tmp_path / "x.zarr", options=ImportOptions(drop_nan=True))
    assert DemoStore.open(done.path).episode_ends.tolist() == [5]
    assert "episode 1: state is nan at step 2" in " ".join(done.lost)


def test_arrays_of_other_lengths_are_said_to_be_left_out(taken):
    _, lost = taken(**{"infos/goal": np.zeros((19, 2))})
    assert "infos.goal has 19 rows for 20 actions" in lost


def test_nothing_says_where_episodes_end(taken):
    store, lost = taken(timeouts=None, terminals=None)
    assert store.num_episodes == 1
    assert "all rows are one" in lost


def test_observations_in_a_group(taken):
    changes = {"observations": None, "observations/robot/pos": ROWS, "observations/desired_goal": ROWS}
    store, _ = taken(**changes)
    assert store.attrs.obs_keys == ("desired_goal", "robot.pos")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"observations": ROWS[:7]}, "observations has 7 rows for 20 actions; mend the file"),
        ({"observations": np.full((STEPS, 2), np.nan)}, "episode 0: state is nan at step 0, dimension 0"),
        ({"actions": ROWS[:0]}, r"terminals is bool \(20,\), expected a truth value for each of 0 actions"),
        ({"observations": h5py.Empty("f4")}, "observations has 0 rows for 20 actions"),
        ({"terminals": 1.0}, r"terminals is float64 \(\), expected a truth value for each of 20 actions"),
        ({"terminals": flags()[:7]}, r"terminals is bool \(7,\), expected a truth value"),
        ({"timeouts": np.full(STEPS, b"x")}, r"timeouts is \|S1 \(20,\), expected a truth value"),
        ({"timeouts": np.full(STEPS, np.nan)}, "timeouts is not finite in row 0"),
        ({"timeouts": None, "next_observations": ROWS[:, :2]}, r"next_observations \(20, 2\) do not fit 20 actions"),
        ({"timeouts": None, "next_observations": 1.0}, r"next_observations \(\) do not fit 20 actions"),
    ],
)
def test_refused_in_one_line(taken, changes, said):
    with pytest.raises(UserError, match=said):
        taken(**changes)


def test_other_files_say_what_they_hold(tmp_path):
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        file["states"] = ROWS
    with pytest.raises(UserError, match="D4RL has arrays observations and actions; there is states"):
        import_demos(tmp_path / "x.hdf5", tmp_path / "x.zarr", "d4rl")

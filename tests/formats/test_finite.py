"""Numbers that are not finite: named in one line, or left out with their key or their episodes, in every format."""

import re

import h5py
import numpy as np
import pytest

from robolearn.commands.main import main
from robolearn.data.attrs import StoreAttrs
from robolearn.data.store import DemoStore
from robolearn.errors import UserError
from robolearn.formats.format import Format, ImportOptions, Recording
from robolearn.formats.registry import FORMATS
from robolearn.formats.transfer import import_demos
from robolearn.types import Episode

ATTRS = StoreAttrs(
    obs_keys=("state", "force"),
    units={"force": "N", "state": "m"},
    names={"force": ("x", "y")},
    splits={"train": (0, 2, 4), "valid": (3, 1), "test": (1,)},
)


def episode(i, **wrong):
    rows = {"state": np.full((4, 2), i, np.float32), "force": np.ones((4, 2)), "action": np.zeros((4, 1))}
    for key, places in wrong.items():
        for step, dim, value in places:
            rows[key][step, dim] = value
    return Episode(rows, rows.pop("action"), {"seed": i})


@pytest.fixture
def source(tmp_path, monkeypatch):
    """Five episodes, of which the second has a NaN and two infinities, and the fourth a NaN in its actions."""
    wrong = {1: {"force": [(1, 0, np.nan), (3, 1, np.inf), (3, 0, -np.inf)]}, 3: {"action": [(2, 0, np.nan)]}}
    given = [episode(i, **wrong.get(i, {})) for i in range(5)]

    def read(path, options):
        return Recording(ATTRS, iter(given), num_episodes=5, names=[f"demo_{10 * i}" for i in range(5)])

    monkeypatch.setitem(FORMATS, "broken", Format("broken", read))
    (tmp_path / "x").touch()
    return tmp_path / "x"


def taken(source, **options):
    done = import_demos(source, source.with_name("out.zarr"), "broken", ImportOptions(**options))
    return DemoStore.open(done.path), done


def test_named_with_key_episode_and_count(source):
    with pytest.raises(UserError) as caught:
        taken(source)
    assert str(caught.value) == (
        f"{source}: demo_10: force is nan at step 1, dimension 0 and in 2 more places; mend the file, or leave such "
        "episodes out by `drop_nan`, or what is named by `drop_keys` force"
    )
    assert not source.with_name("out.zarr").exists()


def test_actions_are_no_key_to_leave_out(source):
    with pytest.raises(UserError, match=r"demo_30: action is nan at step 2, dimension 0; .* by `drop_nan`$"):
        taken(source, drop_keys=("force",))
    with pytest.raises(UserError, match="there are no demonstrations without actions"):
        taken(source, drop_keys=("action",))


def test_episodes_left_out_are_named_and_parts_renumbered(source):
    store, done = taken(source, drop_nan=True)
    assert store.episode_attrs["seed"].tolist() == [0, 2, 4]
    assert store.read("state")[:, 0].tolist() == [i for i in (0, 2, 4) for _ in range(4)]
    assert store.attrs.splits == {"train": (0, 1, 2)}
    assert (store.attrs.units, store.attrs.obs_keys) == (ATTRS.units, ATTRS.obs_keys)
    said = "2 episodes with numbers that are not finite are left out: demo_10: force is nan .*; demo_30: action is nan"
    assert len(done.lost) == 1
    assert re.match(said, done.lost[0])


def test_a_key_is_left_out_with_what_is_said_of_it(source):
    store, _ = taken(source, drop_keys=("force",), drop_nan=True, episodes=4)
    assert sorted(store.keys) == ["action", "state"]
    assert store.episode_attrs["seed"].tolist() == [0, 1, 2]
    assert (store.attrs.obs_keys, store.attrs.units, store.attrs.names) == (("state",), {"state": "m"}, {})


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (("forces",), "`drop_keys` forces: .* has no such key; there are: state, force"),
        (("state", "force"), "`drop_keys` state force: nothing is left of .* to be observed"),
    ],
)
def test_keys_that_cannot_be_left_out(source, keys, said):
    with pytest.raises(UserError, match=said):
        taken(source, drop_keys=keys)


def test_what_is_left_is_observed(tmp_path):
    """A reward alone is nothing to learn from, though it is a key."""
    rows = np.zeros((4, 2))
    np.savez(tmp_path / "x.npz", action=rows, state=rows, reward=rows[:, 0])
    with pytest.raises(UserError, match=r"`drop_keys` state: nothing is left of .*x.npz to be observed"):
        import_demos(tmp_path / "x.npz", tmp_path / "x.zarr", options=ImportOptions(drop_keys=("state",)))
    options = ImportOptions(drop_keys=("state",), obs=("gain=reward",))
    import_demos(tmp_path / "x.npz", tmp_path / "x.zarr", options=options)
    assert DemoStore.open(tmp_path / "x.zarr").attrs.obs_keys == ("gain",)


def test_if_no_episode_is_finite_nothing_is_written(source, monkeypatch):
    given = [episode(0, state=[(0, 0, np.nan)])]
    monkeypatch.setitem(FORMATS, "broken", Format("broken", lambda *_: Recording(ATTRS, given)))
    with pytest.raises(UserError, match="no episode is left; episode 0: state is nan at step 0, dimension 0"):
        taken(source, drop_nan=True)
    assert not source.with_name("out.zarr").exists()


def test_the_command_with_a_file_as_it_is_found(tmp_path, capsys):
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        for i in range(3):
            demo = file.create_group(f"data/demo_{i}")
            state = np.ones((5, 3))
            state[2, 1] = np.nan if i == 1 else 0
            demo["actions"], demo["obs/state"] = np.zeros((5, 2)), state
        file["mask/valid"] = np.array([b"demo_2"])
    command = ["import", "robomimic", str(tmp_path / "x.hdf5"), "--out", str(tmp_path / "x.zarr")]
    with pytest.raises(SystemExit):
        main(command)
    assert "demo_1: state is nan at step 2, dimension 1; mend the file, or leave" in capsys.readouterr().err
    main([*command, "--drop-nan"])
    assert "not kept: 1 episodes with numbers that are not finite are left out: demo_1" in capsys.readouterr().out
    store = DemoStore.open(tmp_path / "x.zarr")
    assert (store.num_episodes, store.attrs.splits) == (2, {"valid": (1,)})

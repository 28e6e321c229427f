"""numpy's files, in the ways that people lay them."""

import re

import numpy as np
import pytest

from robolearn.data.store import DemoStore
from robolearn.errors import UserError
from robolearn.formats import npy
from robolearn.formats.registry import recognize
from robolearn.formats.transfer import import_demos

LENGTHS = (4, 6, 3)
EPISODES = [np.random.default_rng(i).normal(size=(steps, 5)) for i, steps in enumerate(LENGTHS)]
ALL = np.concatenate(EPISODES)
PADDED = np.stack([np.concatenate([rows, np.zeros((6 - len(rows), 5))]) for rows in EPISODES])
DONE = np.isin(np.arange(13), np.cumsum(LENGTHS) - 1)


def a_file_each(folder):
    for i, rows in zip((0, 2, 10), EPISODES, strict=True):
        np.savez(
            folder / f"episode_{i}.npz", obs=rows, actions=rows[:, :2], reward=rows[:, 0], seed=i, fps=10, task="go"
        )


def longer(folder):
    for i, rows in enumerate(EPISODES):
        following = np.concatenate([rows, rows[-1:]])
        np.savez_compressed(folder / f"{i}.npz", observations=following, action=rows[:, :2], next_obs=rows)


def one_file(folder, **further):
    np.savez_compressed(folder / "all.npz", **{"state": ALL, "action": ALL[:, :2], **further})
    return folder / "all.npz"


def arrays(folder):
    np.save(folder / "state.npy", np.asfortranarray(ALL))
    np.save(folder / "actions.npy", ALL[:, :2])
    np.save(folder / "episode_ends.npy", np.cumsum(LENGTHS))


def stacked(folder):
    np.savez(folder / "all.npz", state=PADDED, action=PADDED[:, :, :2], lengths=LENGTHS)
    return folder / "all.npz"


LAYOUTS = [
    a_file_each,
    longer,
    arrays,
    stacked,
    lambda folder: one_file(folder, episode_ends=np.cumsum(LENGTHS)),
    lambda folder: one_file(folder, lengths=np.array(LENGTHS)),
    lambda folder: one_file(folder, episode_ends=np.cumsum(LENGTHS).astype(float)),
    lambda folder: one_file(folder, dones=DONE),
    lambda folder: one_file(folder, timeouts=DONE.astype(int)),
]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("block", [16, 1 << 20])
def test_laid_in_many_ways(tmp_path, monkeypatch, layout, block):
    monkeypatch.setattr(npy, "BLOCK_BYTES", block)
    source = tmp_path / "recordings"
    source.mkdir()
    source = layout(source) or source
    assert recognize(source) == "npz"
    import_demos(source, tmp_path / "x.zarr")
    store = DemoStore.open(tmp_path / "x.zarr")
    assert np.diff(store.episode_ends, prepend=0).tolist() == list(LENGTHS)
    np.testing.assert_array_equal(store.read("state"), ALL)
    np.testing.assert_array_equal(store.read("action"), ALL[:, :2])
    assert store.attrs.obs_keys == ("state",)


def test_facts_of_an_episode(tmp_path):
    (tmp_path / "a").mkdir()
    a_file_each(tmp_path / "a")
    import_demos(tmp_path / "a", tmp_path / "x.zarr")
    store = DemoStore.open(tmp_path / "x.zarr")
    assert store.episode_attrs["seed"].tolist() == [0, 2, 10]
    assert store.attrs.tasks == ("go",)
    assert store.attrs.control_dt == 0.1
    np.testing.assert_array_equal(store.read("reward"), ALL[:, :1])


@pytest.mark.parametrize("fps", [0, -10, np.nan, np.inf, "ten", 1e9])
@pytest.mark.parametrize("episodes", ["one file", "a file each"])
def test_a_rate_that_is_none_is_named(tmp_path, fps, episodes):
    (tmp_path / "a").mkdir()
    if episodes == "one file":
        source = one_file(tmp_path / "a", episode_ends=np.cumsum(LENGTHS), fps=fps, hz=[20.0])
    else:
        source = tmp_path / "a"
        np.savez(source / "0.npz", state=ALL, action=ALL[:, :2], fps=fps, hz=[20.0])
    done = import_demos(source, tmp_path / "x.zarr")
    assert [lost for lost in done.lost if lost.startswith("fps is ") and "expected steps per second" in lost]
    assert DemoStore.open(tmp_path / "x.zarr").attrs.control_dt == 0.05


class Planted:
    def __reduce__(self):
        return print, ("ran",)


def save(name="x.npz", **columns):
    return lambda folder: np.savez(folder / name, **columns)


def cut_off(folder):
    one_file(folder, episode_ends=np.cumsum(LENGTHS))
    content = (folder / "all.npz").read_bytes()
    (folder / "all.npz").write_bytes(content[: len(content) // 2])


REFUSED = [
    (save(), "none of action, actions, .* is there, to be the actions; name one array so"),
    (save(state=ALL, joint=ALL), r"none of action, .* \(there is: state \(13, 5\), joint \(13, 5\)\)"),
    (save(action=ALL, command=ALL), "action and command could both be the actions"),
    (save(action=ALL), "there are no observations to train on: it has none"),
    (save(action=ALL, state=ALL[:4]), "state has 4 rows for 13 actions; mend the file"),
    (save(action=np.array([Planted()] * 3), state=ALL), "action holds Python objects, which are not unpickled"),
    (cut_off, "is no .npz or a damaged one; copy it again"),
    (lambda folder: None, "no .npz and no .npy in it"),
]


@pytest.mark.parametrize(("write", "said"), REFUSED)
def test_refused_in_one_line(tmp_path, capsys, write, said):
    (tmp_path / "in").mkdir()
    write(tmp_path / "in")
    with pytest.raises(UserError, match=said):
        import_demos(tmp_path / "in", tmp_path / "x.zarr", "npz")
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("further", "said"),
    [
        ({"episode_ends": [4, 2, 13]}, "ends of episodes are .*, expected whole numbers that increase"),
        ({"episode_ends": [4, 12]}, "the last episode ends at 12, there are 13 actions"),
        ({"lengths": [4, 4]}, "the last episode ends at 8, there are 13 actions"),
        ({"lengths": ["4", "9"]}, r"lengths are \['4', '9'\] ..., expected whole numbers from 0 to 13"),
        ({"lengths": [4.5, 8.5]}, r"lengths are \[4.5, 8.5\] ..., expected whole numbers from 0 to 13"),
        ({"lengths": [-4, 17]}, "lengths are .*, expected whole numbers from 0 to 13"),
        ({"episode_ends": [4, np.nan]}, "episode_ends are .*, expected whole numbers"),
        ({"episode_ends": 12}, "the last episode ends at 12, there are 13 actions"),
        ({"episode_ends": np.array([2**63], np.uint64)}, "episode_ends are .*, expected whole numbers from 0 to 13"),
        ({"done": np.full(13, "x")}, r"done is <U1 \(13,\), expected a truth value for each of 13 actions"),
        ({"done": np.zeros(4)}, r"done is float64 \(4,\), expected a truth value for each of 13 actions"),
        ({"done": np.where(DONE, np.nan, 0)}, "done is not finite in row 3"),
        ({"success": np.where(DONE, np.nan, 0)}, "success is nan at step 3 and in 2 more places; mend the file"),
        ({"state": 1.0}, "state has 0 rows for 13 actions; mend the file"),
        ({"action": 1.0}, "state has 13 rows for 0 actions; mend the file"),
    ],
)
def test_what_does_not_fit_all_rows(tmp_path, further, said):
    with pytest.raises(UserError, match=said):
        import_demos(one_file(tmp_path, **further), tmp_path / "x.zarr")


@pytest.mark.parametrize(
    ("further", "said"),
    [
        (
            {"image": np.zeros((12, 8, 8, 3), np.uint8), "dones": DONE, "success": [1, 0, 1], "fps": [10.0]},
            ["image has 12 entries and action 13", "success has 3 entries and action 13"],
        ),
        (
            {"episode_starts": [0, 4, 6]},
            [
                "episode_starts has 3 entries and action 13",
                "nothing says where episodes end, .*",
            ],
        ),
        ({"episode_ends": np.cumsum(LENGTHS), "more": np.zeros(13)}, []),
    ],
)
def test_what_gets_into_no_episode_is_said(tmp_path, further, said):
    done = import_demos(one_file(tmp_path, **further), tmp_path / "x.zarr")
    assert len(done.lost) == len(said)
    assert all(map(re.fullmatch, said, done.lost))


def test_a_number_for_each_stacked_episode_is_said_to_be_left_out(tmp_path):
    np.savez(tmp_path / "all.npz", state=PADDED, action=PADDED[:, :, :2], lengths=LENGTHS, success=[1, 0, 1])
    done = import_demos(tmp_path / "all.npz", tmp_path / "x.zarr")
    assert done.lost == ("success has a number per episode and none per step",)


@pytest.mark.parametrize(
    ("lengths", "said"),
    [
        (["a", "b", "c"], "lengths are .*, expected whole numbers from 0 to 6"),
        ([1.5, 1, 2], "lengths are .*, expected whole numbers from 0 to 6"),
        (3, r"there are 1 lengths for 3 episodes; mend the file"),
    ],
)
def test_lengths_that_do_not_fit_stacked_episodes(tmp_path, lengths, said):
    np.savez(tmp_path / "all.npz", state=PADDED, action=PADDED[:, :, :2], lengths=lengths)
    with pytest.raises(UserError, match=said):
        import_demos(tmp_path / "all.npz", tmp_path / "x.zarr")


def test_a_success_that_is_no_truth_value_is_named(tmp_path):
    done = import_demos(one_file(tmp_path, success=np.full(13, "x")), tmp_path / "x.zarr")
    assert "success is no truth value for each step, for one in episode 0" in done.lost


def test_names_that_a_store_would_call_alike_are_kept_apart(tmp_path):
    rows = {name: np.full((9, 2), i) for i, name in enumerate(("a.b", "a\\b", "reward", "other.reward"))}
    np.savez(tmp_path / "one.npz", **rows, action=np.zeros((9, 1)), episode_ends=[4, 9])
    import_demos(tmp_path / "one.npz", tmp_path / "x.zarr")
    store = DemoStore.open(tmp_path / "x.zarr")
    assert {key: store.read(key)[0, 0] for key in store.keys if key != "action"} == {
        **{"a.b": 0, "a.b_": 1, "other.reward": 3, "reward": 2}
    }

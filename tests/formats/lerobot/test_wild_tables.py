"""Tables as they are found: imported rightly, or refused in one line that says what is wrong and what to do."""

import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.formats.lerobot.wild import POINTER, intact, read, refused, rewrite, set_column, tables


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (POINTER.encode(), "is a pointer of Git LFS, not the file itself; fetch it with: git lfs pull"),
        (b"", r"is no parquet file, or a damaged one \(0 bytes: .*\); download it again"),
        (b"PAR1 and so on", "is no parquet file, or a damaged one"),
        (None, "is no parquet file, or a damaged one"),
    ],
)
def test_damaged_tables(make_set, version, content, message):
    root = make_set(version).write()
    path = tables(root)[-1]
    path.write_bytes(path.read_bytes()[:-20] if content is None else content)
    assert str(path) in refused(root, message)


def test_no_tables(make_set):
    root = make_set().write()
    for path in tables(root):
        path.unlink()
    assert "there are no tables in it (data/**/*.parquet); download them" in refused(root)


def test_tables_without_rows(make_set):
    made = make_set(lengths=(4, 3))
    root = made.write()
    rewrite(tables(root)[0], lambda table: table.slice(0, 0))
    store, _ = read(root)
    assert (store.num_episodes, store.num_steps) == (1, 3)
    rewrite(tables(root)[1], lambda table: table.slice(0, 0))
    (root.parent / "out.zarr").rename(root.parent / "first.zarr")
    assert "its tables have no rows" in refused(root)


def test_an_episode_in_two_places(make_set):
    root = make_set("v3.0").write()
    (path,) = tables(root)
    pq.write_table(pq.read_table(path).slice(0, 4), path.with_name("file-001.parquet"))
    line = refused(root)
    assert "episode 0 is in data/chunk-000/file-000.parquet and again in data/chunk-000/file-001.parquet" in line


def test_no_column_of_episodes(make_set):
    made = make_set("v2.1")
    root = made.write()
    for path in tables(root):
        rewrite(path, lambda table: table.drop_columns(["episode_index", "index", "frame_index", "task_index"]))
    intact(read(root)[0], made)
    root = make_set("v3.0", name="joint").write()
    rewrite(tables(root)[0], lambda table: table.drop_columns(["episode_index"]))
    (root.parent / "out.zarr").rename(root.parent / "first.zarr")
    assert "has no column episode_index, so it does not tell where an episode begins" in refused(root)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["x"] * 13, "episode_index is object, 13 in 13 rows; expected a number of an episode each"),
        ([datetime.datetime(2026, 1, 1)] * 13, "episode_index is datetime64"),
        ([[0, 1]] * 13, "episode_index is int64, 26 in 13 rows"),
        ([0.0] * 12 + [np.nan], "episode_index is nan in row 12; expected the number of an episode, 0, 1, 2"),
        ([0] * 12 + [-1], "episode_index is -1 in row 12"),
        ([0.5] * 13, "episode_index is 0.5 in row 0"),
    ],
)
def test_numbers_of_episodes_that_are_none(make_set, values, said):
    root = make_set("v3.0").write()
    at = pq.read_table(tables(root)[0]).column_names.index("episode_index")
    rewrite(tables(root)[0], lambda table: table.set_column(at, "episode_index", pa.array(values)))
    refused(root, said)


def test_columns_of_episodes_that_were_copied(make_set):
    """A file per episode is that episode, whatever its column says; lists of one number are numbers."""
    made = make_set("v2.1")
    made.rows["episode_index"] = [np.zeros((n, 1), np.int64) for n in made.lengths]
    intact(read(made.write())[0], made)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        (
            "observation.state",
            [[0, 0, 0], [0, np.nan, 0]] * 2,
            "episode 1: state is nan at step 1, dimension 1 and in 1 more places; mend",
        ),
        (
            "action",
            [[0, 0], [0, 0], [np.inf, 0], [0, 0]],
            "episode 1: action is inf at step 2, dimension 0; mend the file, or leave such episodes out by `drop_nan`$",
        ),
        ("observation.state", [[0, 0, 0], None] * 2, r"2 empty entries \(null\), the first at 1; fill them"),
        ("observation.state", [[0, 0, 0], [0, None, 0]] * 2, r"2 empty entries \(null\), the first at 4; fill them"),
        ("observation.state", [[0, 0, 0], [0, 0]] * 2, "lists of 2 to 3 entries; a step's shape cannot change"),
        ("observation.state", [[0, 0]] * 4, r"has steps of shape \(2,\), those before of \(3,\)"),
        ("action", ["left"] * 4, "there is no column action"),
    ],
)
def test_rows_that_are_no_numbers(make_set, column, values, message):
    root = make_set(lengths=(3, 4)).write()
    kind = None if isinstance(values[0], str) else pa.list_(pa.float32())
    set_column(tables(root)[1], column, pa.array(values, kind))
    refused(root, message)


def test_columns_that_hold_no_numbers_are_named(make_set):
    made = make_set(lengths=(3, 2))
    made.features["observation.effort"] = {"dtype": "float32", "shape": [2], "names": None}
    made.rows["observation.torque"] = [np.full((n, 2), np.nan) for n in made.lengths]
    root = made.write()
    for path in tables(root):
        n = pq.read_metadata(path).num_rows
        set_column(path, "frame_index", pa.array(["text"] * n))
        rewrite(path, lambda table, n=n: table.append_column("note", pa.array([["a", "b"]] * n)))
        rewrite(path, lambda table, n=n: table.append_column("nothing", pa.nulls(n)))
        rewrite(path, lambda table, n=n: table.append_column("empty", pa.array([[]] * n, pa.list_(pa.float32()))))
        rewrite(path, lambda table, n=n: table.append_column("ragged", pa.array([[0.0] * (1 + i) for i in range(n)])))
    rewrite(path, lambda table, n=n: table.append_column("late", pa.array(range(n))))
    store, done = read(root)
    intact(store, made)
    assert store.keys == ("action", "state")
    assert set(done.lost) == {
        "note is not kept; it holds string, not numbers",
        "nothing is not kept; it holds null, not numbers",
        "empty is not kept; it holds no number per step",
        "ragged is not kept; it has lists of 1 to 3 entries; a step's shape cannot change",
        "observation.torque is not kept; it was never filled (nan)",
        "late is not kept; it is in some of the tables only",
        "observation.effort is named in info.json, but in none of the tables",
    }


def test_columns_that_are_not_described(make_set):
    made = make_set()
    made.features["action"] = {}
    made.features["observation.state"] = "float32"
    intact(read(made.write())[0], made)


def test_one_type_for_all_tables(make_set, kit):
    made = make_set(lengths=(3, 2))
    wide = [np.array([[1, 2]] * 3, np.float32), np.array([[1 + 2.0**-40, 2]] * 2)]
    made.rows["action"] = wide
    root = made.write()
    set_column(tables(root)[1], "observation.state", kit["lists"](made.rows["observation.state"][1]))
    store, _ = read(root)
    assert store.dtypes["action"] == np.float64
    np.testing.assert_array_equal(store.episode(1).actions, wide[1])


def test_actions_that_are_called_otherwise(make_set):
    for name, names in (("actions", ("actions",)), ("action.arm", ("action.arm",))):
        made = make_set(name=name)
        made.rows[names[0]] = made.rows.pop("action")
        store, _ = read(made.write())
        made.rows["action"] = made.rows.pop(names[0])
        intact(store, made)
        (made.root.parent / "out.zarr").rename(made.root.parent / f"{name}.zarr")
    made = make_set(name="several")
    made.rows["action.arm"] = made.rows["action.hand"] = made.rows.pop("action")
    assert "the actions could be action.arm or action.hand" in refused(made.write())


def test_a_name_twice(make_set):
    root = make_set("v3.0").write()
    (path,) = tables(root)
    rewrite(path, lambda table: table.append_column("action", table["action"]))
    assert "has the column action twice" in refused(root)

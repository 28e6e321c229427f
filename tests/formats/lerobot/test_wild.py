"""Data sets as they are found: imported rightly, or refused in one line that says what is wrong and what to do."""

import datetime
import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robolearn.data.store import DemoStore
from robolearn.errors import UserError
from robolearn.formats.format import ImportOptions
from robolearn.formats.transfer import import_demos

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
TOP = "observation.images.top"


def read(root, **options):
    out = root.parent / "out.zarr"
    done = import_demos(root, out, "lerobot", options=ImportOptions(**options))
    return DemoStore.open(out), done


def refused(root, message=None, **options):
    """The one line, which has to match; nothing is left at the target."""
    with pytest.raises(UserError, match=message) as caught:
        read(root, **options)
    assert not (root.parent / "out.zarr").exists()
    assert not (root.parent / "out.zarr.part").exists()
    line = str(caught.value)
    assert "\n" not in line
    return line


def tables(root):
    return sorted(root.glob("data/*/*.parquet"))


def rewrite(path, change):
    pq.write_table(change(pq.read_table(path)), path)


def set_column(path, name, values):
    rewrite(path, lambda table: table.drop_columns([name]).append_column(name, values))


def intact(store, made):
    """Whether the numbers are those of the data set."""
    assert store.num_episodes == len(made.lengths)
    for i in range(store.num_episodes):
        np.testing.assert_array_equal(store.episode(i).obs["state"], made.rows["observation.state"][i])
        np.testing.assert_array_equal(store.episode(i).actions, made.rows["action"][i])


# Facts

INFO = [
    ("", "is empty, so it does not say what the data set holds; download it again"),
    (" \n", "is empty"),
    ("{}", "is empty"),
    ("null", "is a NoneType, expected an object"),
    ("[]", "is a list, expected an object with codebase_version, fps and features"),
    ('"v2.1"', "is a str, expected an object"),
    ('{"codebase_version": "v2.1"', "is no JSON .*; download it again"),
    ("[" * 100_000, "is no JSON"),
    ('{"codebase_version": "v2.1"}', "names no features"),
    ('{"features": []}', "names no features"),
    ('{"features": {}}', "names no features"),
    ('{"codebase_version": "v1.6", "features": {"a": {}}}', "v1.6 is older than v2.0, v2.1 and v3.0, .*; convert it"),
    ('{"codebase_version": "v4.0", "features": {"a": {}}}', "v4.0 is newer than v2.0, v2.1 and v3.0"),
    ('{"codebase_version": "banana", "features": {"a": {}}}', "'banana' is none; v2.0, v2.1 and v3.0 are read"),
    ('{"codebase_version": ["v2.1"], "features": {"a": {}}}', "is none; v2.0, v2.1 and v3.0 are read"),
    (POINTER, r"info.json is a pointer of Git LFS, not the file itself; fetch it with: git lfs pull"),
    (b"\xff\xfe\x00", "is no text, or a damaged one"),
]


@pytest.mark.parametrize(("content", "message"), INFO, ids=range(len(INFO)))
def test_an_info_that_says_nothing(make_set, content, message):
    root = make_set().write()
    (root / "meta" / "info.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(root, message)


def test_no_info_at_all(make_set):
    root = make_set().write()
    (root / "meta" / "info.json").unlink()
    assert "info.json" in refused(root)


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize(
    "entries",
    [
        {"codebase_version": None},
        {"codebase_version": "v2.0"},
        {"codebase_version": "v3.1"},
        {"codebase_version": 3.0},
        {"data_path": None},
        {"data_path": "tables/{episode_chunk:03d}/{episode_index}.parquet"},
        {"data_path": "../../{episode_index:06d}.parquet"},
        {"data_path": "{episode_index.__class__}{0}{"},
        {"video_path": None},
        {"video_path": "films/{video_key}/{episode_index:06d}.mp4"},
        {"robot_type": None, "splits": None, "total_frames": None, "chunks_size": "many"},
        {"robot_type": 5, "splits": {"train": "all", "test": [0, 1]}, "total_frames": -1},
    ],
    ids=str,
)
def test_entries_that_are_wrong_and_do_not_matter(make_set, kit, version, entries):
    made = make_set(version, (3, 2))
    made.cameras[TOP] = [kit["frames_of"](i, n) for i, n in enumerate(made.lengths)]
    made.info = entries
    store, done = read(made.write())
    intact(store, made)
    assert done.lost == ()
    means = store.episode(1).obs["top"].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(means, [kit["level"](1, step) for step in range(2)], atol=2)


def test_totals_that_are_wrong_are_told(make_set):
    made = make_set()
    made.info["total_episodes"] = 50
    store, done = read(made.write())
    intact(store, made)
    assert done.lost == ("info.json announces 50 episodes; there are 3",)


@pytest.mark.parametrize("fps", [None, 0, -3, "10", math.nan])
def test_without_a_rate_the_times_tell(make_set, fps):
    made = make_set()
    made.info["fps"] = fps
    store, done = read(made.write())
    assert store.attrs.control_dt == pytest.approx(0.1)
    assert done.lost == ()


def test_a_rate_that_the_times_contradict(make_set):
    made = make_set()
    made.info["fps"] = 30
    store, done = read(made.write())
    assert store.attrs.control_dt == pytest.approx(0.1)
    assert done.lost == (
        "info.json says 30 steps per second, but the times of the steps are 0.1 s apart; these are taken",
    )


def test_no_rate_and_no_times(make_set):
    made = make_set()
    made.info["fps"] = None
    root = made.write()
    for path in tables(root):
        rewrite(path, lambda table: table.drop_columns(["timestamp"]))
    store, _ = read(root)
    assert store.attrs.control_dt is None
    intact(store, made)


def test_a_rate_that_is_none(make_set):
    made = make_set(lengths=(1, 1))
    made.info["fps"] = 1e9
    assert "expected seconds" in refused(made.write())


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize(
    ("absent", "texts"),
    [
        (("tasks",), ("c", "a")),
        (("episodes",), ("a", "c")),
        (("tasks", "episodes"), ()),
    ],
)
def test_missing_facts_are_done_without(make_set, version, absent, texts):
    made = make_set(version, (3, 2))
    made.tasks = ["c", "a"]
    root = made.write()
    for name in absent:
        for path in (root / "meta").rglob(f"{name}*.jsonl" if version == "v2.1" else "*.parquet"):
            if name in str(path.relative_to(root)):
                path.unlink()
    store, _ = read(root)
    intact(store, made)
    assert store.attrs.tasks == texts
    task_indices = store.episode_attrs.get("task", ())
    assert [texts[i] for i in task_indices] == (["c", "a"] if texts else [])


def test_facts_of_odd_content(make_set):
    made = make_set(lengths=(3, 2))
    root = made.write()
    lines = ["", "[]", '{"task_index": "0", "task": "x"}', '{"task_index": 7, "task": "other"}', '{"task": 3}']
    (root / "meta" / "tasks.jsonl").write_text("\n".join(lines))
    lines = ['{"episode_index": 0, "tasks": "alone", "length": 99, "note": "x", "deep": {}}', '{"length": 3}']
    (root / "meta" / "episodes.jsonl").write_text("\n".join(lines))
    store, _ = read(root)
    intact(store, made)
    assert store.attrs.tasks == ("other", "alone")
    assert store.episode_attrs["task"].tolist() == [1, -1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tasks.jsonl", '{"task_index": 0,\n', "tasks.jsonl: line 1 is no JSON .*; mend it, or remove the file"),
        ("episodes.jsonl", POINTER, "episodes.jsonl is a pointer of Git LFS"),
        ("episodes.jsonl", "\x00\x01", "episodes.jsonl: line 1 is no JSON"),
        ("tasks.parquet", POINTER, "tasks.parquet is a pointer of Git LFS"),
        ("tasks.parquet", "PAR1", "tasks.parquet is no parquet file, or a damaged one"),
    ],
)
def test_damaged_facts(make_set, name, content, message):
    root = make_set().write()
    (root / "meta" / name).write_text(content)
    refused(root, message)


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_numbers_of_episodes_under_names_that_no_file_has(make_set, version):
    made = make_set(version)
    made.extra = {"eval/score": [1, 2, 3], "episode_ends": [4, 5, 6], "": [7, 8, 9], "a\nb": [0.5, 1.5, 2.5]}
    store, _ = read(made.write())
    facts = {name: values.tolist() for name, values in store.episode_attrs.items() if name != "task"}
    assert facts == {
        "eval.score": [1, 2, 3],
        "key_episode_ends": [4, 5, 6],
        "key_": [7, 8, 9],
        "a_b": [0.5, 1.5, 2.5],
    }


def test_a_column_that_is_numbers_in_some_tables_is_called_what_it_is_in_others(make_set):
    root = make_set(lengths=(3, 2)).write()
    for i, values in enumerate(([1.0, 2.0, 3.0], ["a", "b"])):
        path = root / "data" / "chunk-000" / f"episode_{i:06d}.parquet"
        pq.write_table(pq.read_table(path).append_column("note", pa.array(values)), path)
    assert "note is not kept; it holds string, not numbers" in read(root)[1].lost


def test_texts_with_other_ends_of_lines(make_set):
    """As json.dumps writes them with ensure_ascii=False, and editors of Windows end their lines."""
    made = make_set()
    made.tasks = ["a\u2028b", "c\x85d", "a\u2028b"]
    root = made.write()
    for name in ("tasks", "episodes"):
        file = root / "meta" / f"{name}.jsonl"
        lines = [json.dumps(json.loads(line), ensure_ascii=False) for line in file.read_text().splitlines()]
        file.write_bytes("\r\n".join(lines).encode())
    store, _ = read(root)
    assert [store.attrs.tasks[i] for i in store.episode_attrs["task"]] == made.tasks


@pytest.mark.parametrize(
    ("content", "licence"),
    [
        (b"---\nlicense:\n- mit\n- other\ntags:\n- x\n---\n", "mit"),
        (b"---\r\nlicense: 'cc-by-4.0' \r\ntags:\r\n---\r\n", "cc-by-4.0"),
        (b"---\nlicense:\ntags:\n- x\n---\n", "Copyright me"),
        (b"---\nlicense: mit\n---\n\xe9 latin-1", "Copyright me"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Copyright me"),
    ],
)
def test_what_people_read_keeps_no_data_from_being_read(make_set, content, licence):
    root = make_set().write()
    (root / "README.md").write_bytes(content)
    (root / "LICENSE").write_text("# Copyright me\n")
    assert read(root)[0].attrs.licence == licence


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_several_tasks_in_an_episode(make_set, version):
    made = make_set(version)
    made.tasks = ["a", "b", "c"]
    made.rows["task_index"] = [np.array(rows) for rows in ([0, 0, 1, 1], [1] * 6, [2, 2, 0])]
    store, done = read(made.write())
    assert store.episode_attrs["task"].tolist() == [0, 1, 2]
    assert done.lost == ("episodes 0, 2 have several tasks; each keeps the one that it begins with",)


# Tables


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


# Videos and images


def with_camera(make_set, kit, version="v2.1", lengths=(4, 5, 3)):
    made = make_set(version, lengths)
    made.cameras[TOP] = [kit["frames_of"](i, n) for i, n in enumerate(made.lengths)]
    return made


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize("pointer", [False, True])
def test_missing_videos(make_set, kit, version, pointer):
    made = with_camera(make_set, kit, version)
    made.per_file = 2
    root = made.write()
    video = sorted(root.rglob("*.mp4"))[-1]  # of the last episode in both
    if pointer:
        video.write_text(POINTER)
    else:
        video.unlink()
    line = refused(root)
    assert f"1 of 3 videos of {TOP} are missing" in line
    assert ("git lfs pull fetches them" in line) == pointer
    assert (
        f"`cameras` none imports all 3 episodes without images, `cameras` {TOP} those 2 that have their videos" in line
    )
    store, done = read(root, cameras=("top",))
    assert (store.num_episodes, done.num_episodes) == (2, 2)
    assert done.lost[0].startswith("episodes 2 are left out: their videos are missing")
    (root.parent / "out.zarr").rename(root.parent / "first.zarr")
    assert read(root, episodes=2)[1].lost == ()  # all that was asked for is there


def test_no_video_at_all(make_set, kit):
    root = with_camera(make_set, kit).write()
    for video in root.rglob("*.mp4"):
        video.unlink()
    assert refused(root, cameras=("top",)).endswith("`cameras` none imports all 3 episodes without images")


def test_the_first_episodes_that_have_videos(make_set, kit):
    root = with_camera(make_set, kit).write()
    sorted(root.rglob("*.mp4"))[0].unlink()
    store, done = read(root, cameras=("top",), episodes=1)
    assert len(store.episode(0)) == 5
    assert done.lost == ("episodes 0 are left out: their videos are missing",)


def test_joint_videos_without_their_facts(make_set, kit):
    made = with_camera(make_set, kit, "v3.0")
    root = made.write()
    (path,) = (root / "meta" / "episodes").rglob("*.parquet")
    path.unlink()
    line = refused(root)
    assert f"meta/episodes does not say where in the videos of {TOP} episode 0 is; download meta/episodes" in line
    intact(read(root, cameras=())[0], made)


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize("content", [b"", b"no video", None])
def test_damaged_videos(make_set, kit, version, content):
    root = with_camera(make_set, kit, version).write()
    video = sorted(root.rglob("*.mp4"))[-1]
    video.write_bytes(video.read_bytes()[:-200] if content is None else content)
    assert f"{video} is no video, or a damaged one" in refused(root)


def test_frames_that_no_times_fit_are_taken_in_order(make_set, kit):
    for name, start in (("late", 0.25), ("clock", 1.7e9)):
        made = with_camera(lambda version, lengths, name=name: make_set(version, lengths, name), kit)
        made.start = start
        made.info["fps"] = 10
        store, _ = read(made.write())
        for i, n in enumerate(made.lengths):
            means = store.episode(i).obs["top"].mean(axis=(1, 2, 3))
            np.testing.assert_allclose(means, [kit["level"](i, step) for step in range(n)], atol=2)
        (made.root.parent / "out.zarr").rename(made.root.parent / f"{name}.zarr")


def test_a_video_of_more_frames_than_steps_is_read_by_the_times(make_set, kit):
    made = with_camera(make_set, kit, lengths=(4, 3))
    made.start = 0.2  # and the video began with the recording, two frames earlier
    root = made.write()
    for i, video in enumerate(sorted(root.rglob("*.mp4"))):
        kit["write_video"](video, kit["frames_of"](i, made.lengths[i] + 4))
    store, _ = read(root)
    means = store.episode(1).obs["top"].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(means, [kit["level"](1, step) for step in (2, 3, 4)], atol=2)


def test_a_video_that_ends_early_is_refused(make_set, kit):
    root = with_camera(make_set, kit).write()
    video = sorted(root.rglob("*.mp4"))[1]
    kit["write_video"](video, kit["frames_of"](1, 3))
    line = refused(root)
    assert f"{video}: episode 1 has 5 steps, and 3 frames of {TOP} at other times; leave the camera out" in line


def test_frames_that_are_not_evenly_spaced(make_set, kit):
    """Recorded with two frames dropped: each step has the frame that was shown at its time."""
    made = make_set(lengths=(4, 4))
    made.cameras[TOP] = [kit["frames_of"](i, n) for i, n in enumerate(made.lengths)]
    made.rows["timestamp"] = [np.array([0, 0.1, 0.4, 0.5], np.float32)] * 2
    root = made.write()
    for i, video in enumerate(sorted(root.rglob("*.mp4"))):
        kit["write_video"](video, kit["frames_of"](i, 4), pts=[0, 1, 4, 5])
    store, _ = read(root)
    means = store.episode(1).obs["top"].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(means, [kit["level"](1, step) for step in range(4)], atol=2)


def test_videos_of_different_sizes(make_set, kit):
    root = with_camera(make_set, kit).write()
    kit["write_video"](sorted(root.rglob("*.mp4"))[1], kit["frames_of"](1, 5, 32, 32))
    assert "episode 1: top has steps of shape (32, 32, 3), those before of (16, 24, 3); give `image_size`" in refused(
        root
    )
    store, _ = read(root, image_size=(8, 8))
    assert store.shapes["top"] == (8, 8, 3)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"bytes": None, "path": None}, "there is no image; leave the camera out by `cameras`"),
        ({"bytes": None, "path": "gone.png"}, "there is no image; leave the camera out by `cameras`"),
        ({"bytes": None, "path": "../../secret.png"}, "leads out of the data set"),
        ({"bytes": b"no picture", "path": None}, "step 2: a damaged image"),
        ("other size", r"the image is uint8 \[5, 5, 3\], those before are uint8 \[6, 4, 3\]; give `image_size`"),
    ],
)
def test_damaged_images(make_set, kit, entry, message):
    made = make_set(lengths=(3,))
    picture = kit["png"](np.zeros((6, 4, 3), np.uint8))
    made.pictures["observation.image"] = [[picture] * 3]
    root = made.write()
    bad = {"bytes": kit["png"](np.zeros((5, 5, 3), np.uint8)), "path": None} if entry == "other size" else entry
    (path,) = tables(root)
    set_column(path, "observation.image", pa.array([{"bytes": picture, "path": None}] * 2 + [bad]))
    refused(root, message)
    intact(read(root, cameras=())[0], made)


def test_images_beside_the_tables(make_set, kit):
    made = make_set(lengths=(2,))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 6, 4, 3), dtype=np.uint8)
    made.pictures["observation.image"] = [[b"", b""]]
    root = made.write()
    (root / "images").mkdir()
    for i, image in enumerate(images):
        (root / "images" / f"{i}.png").write_bytes(kit["png"](image))
    entries = [{"bytes": None, "path": f"images/{i}.png"} for i in range(2)]
    set_column(tables(root)[0], "observation.image", pa.array(entries))
    np.testing.assert_array_equal(read(root)[0].episode(0).obs["image"], images)


def test_links_and_hidden_folders(make_set, tmp_path):
    """A cache keeps links to where the files are; a folder that leads back to itself is entered once."""
    made = make_set()
    root = made.write()
    (root / "data").rename(tmp_path / "elsewhere")
    (root / "data").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "again").symlink_to(root)
    (root / ".cache").mkdir()
    (root / ".cache" / "episode_000009.parquet").write_text("half of it")
    intact(read(root)[0], made)


def test_any_bytes_changed(make_set, kit):
    """A flipped or cut-off file is refused in one line, or imported; it never ends in a traceback."""
    rng = np.random.default_rng(0)
    root = with_camera(make_set, kit, "v3.0", (3, 2)).write()
    outcomes = {"imported": 0, "refused": 0}
    for path in sorted(file for file in root.rglob("*") if file.is_file()):
        content = path.read_bytes()
        for _ in range(4):
            changed = bytearray(content)
            if rng.random() < 0.3:
                del changed[rng.integers(len(changed)) :]
            else:
                changed[rng.integers(len(changed))] ^= 1 << rng.integers(8)
            path.write_bytes(changed)
            try:
                read(root)
                outcomes["imported"] += 1
            except UserError:
                outcomes["refused"] += 1
            if (root.parent / "out.zarr").exists():
                (root.parent / "out.zarr").rename(root.parent / f"{sum(outcomes.values())}.zarr")
        path.write_bytes(content)
    assert min(outcomes.values()) >= 2, outcomes


def test_the_command_says_what_to_do(make_set, kit, capsys):
    from robolearn.commands.main import main

    root = with_camera(make_set, kit).write()
    next(root.rglob("*.mp4")).unlink()
    with pytest.raises(SystemExit):
        main(["import", "auto", str(root), "--out", str(root.parent / "x.zarr")])
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--cameras none imports all 3 episodes without images" in error
    assert json.loads((root / "meta" / "info.json").read_text())["fps"] == 10

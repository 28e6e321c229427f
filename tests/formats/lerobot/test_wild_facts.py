"""What people write into meta/: imported rightly, or refused in one line that says what is wrong and what to do."""

import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.formats.lerobot.wild import POINTER, TOP, intact, read, refused, rewrite, tables

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

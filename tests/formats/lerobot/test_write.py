"""What is written as a LeRobot data set is read back as it was, and its files say what lerobot's own say."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robolearn.data.attrs import StoreAttrs
from robolearn.data.store import DemoStore
from robolearn.data.writer import DemoWriter
from robolearn.errors import UserError
from robolearn.formats.format import ExportOptions
from robolearn.formats.lerobot import encode, parts, write
from robolearn.formats.transfer import export_demos, import_demos
from robolearn.types import Episode

pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra formats")

LOW, HIGH = 0x20, 0x2FFF
KEYS = st.text(st.characters(min_codepoint=LOW, max_codepoint=HIGH, exclude_characters="/\\"), min_size=1, max_size=12)
DTYPES = ["float32", "float64", "float16", "int64", "int32", "int8", "uint8", "uint16", "bool"]


def make(path, lengths=(3, 5, 2), obs=None, attrs=None, facts=None, **declared):
    rng = np.random.default_rng(0)
    total = sum(lengths)
    obs = {"state": rng.normal(size=(total, 3)).astype(np.float32), **(obs or {})}
    action = rng.normal(size=(total, 2)).astype(np.float32)
    writer = DemoWriter.create(
        path, attrs=attrs or StoreAttrs(**{"control_dt": 0.1, "obs_keys": ("state",), **declared})
    )
    episodes = []
    for i, (stop, n) in enumerate(zip(np.cumsum(lengths), lengths, strict=True)):
        rows = {key: array[stop - n : stop] for key, array in obs.items()}
        own = {name: values[i] for name, values in (facts or {}).items()}
        episodes.append(Episode(rows, action[stop - n : stop], own))
    writer.extend(episodes)
    return DemoStore.open(path)


def round_trip(store, **options):
    folder = store.path.parent
    out = export_demos(store.path, folder / "set", "lerobot", ExportOptions(**options))
    back = import_demos(folder / "set", folder / "back.zarr")
    return DemoStore.open(back.path), out.lost, back.lost


def equal(one, other):
    assert set(one.keys) == set(other.keys)
    np.testing.assert_array_equal(one.episode_ends, other.episode_ends)
    for key in one.keys:
        assert one.dtypes[key] == other.dtypes[key]
        np.testing.assert_array_equal(one.read(key), other.read(key))


@st.composite
def arrays(draw, steps):
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=2)))  # three axes would be an image
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if dtype.kind == "f":
        return (rng.normal(size=(steps, *shape)) * 10.0 ** draw(st.integers(-3, 3))).astype(dtype)
    bounds = (0, 2) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return rng.integers(*bounds, (steps, *shape), dtype=np.int64).astype(dtype)


@st.composite
def recordings(draw):
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    keys = draw(st.lists(KEYS, unique=True, max_size=4))
    return lengths, {key: draw(arrays(sum(lengths))) for key in keys}


@given(recordings(), st.booleans())
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_keys_shapes_lengths_and_types(tmp_path_factory, recording, declared):
    lengths, obs = recording
    obs.pop("action", None)
    try:
        store = make(tmp_path_factory.mktemp("any") / "x.zarr", lengths, obs, obs_keys=("state",) if declared else None)
    except UserError:
        return  # a key that no store holds
    back, lost, _ = round_trip(store)
    assert lost == ()
    equal(store, back)


def test_facts_come_back(tmp_path):
    attrs = StoreAttrs(
        control_dt=0.05,
        env_id="envs:robolearn/Avoid-v0",
        env_kwargs={"moved": 0.1},
        obs_keys=("state", "force"),
        expert="me",
        source="a lab",
        licence="CC-BY-4.0",
        tasks=("left", "right"),
        robot="arm",
        units={"state": "m"},
        names={"state": ("x", "y", "z"), "action": ("u", "v")},
        splits={"train": (0, 1), "test": (2,)},
    )
    facts = {"task": [1, 0, 1], "success": [True, False, True], "seed": [5, 6, 7], "score": [0.5, 0.25, 1.0]}
    rng = np.random.default_rng(1)
    obs = {"force": rng.normal(size=(10, 2)), "reward": rng.normal(size=(10, 1)), "other": rng.normal(size=(10, 1))}
    store = make(tmp_path / "x.zarr", obs=obs, attrs=attrs, facts=facts)
    back, lost, _ = round_trip(store)
    assert lost == ()
    equal(store, back)
    assert set(back.attrs.obs_keys) == {"state", "force"}
    for name in (
        "control_dt",
        "env_id",
        "env_kwargs",
        "expert",
        "source",
        "licence",
        "tasks",
        "robot",
        "units",
        "names",
    ):
        assert getattr(back.attrs, name) == getattr(attrs, name), name
    assert back.attrs.splits == attrs.splits
    for name, values in facts.items():
        assert back.episode_attrs[name].tolist() == values
    info = json.loads((tmp_path / "set" / "meta" / "info.json").read_text())
    assert (info["codebase_version"], info["fps"], info["total_frames"]) == ("v3.0", 20, 10)
    assert {"action", "observation.state", "observation.force", "next.reward", "other"} < set(info["features"])


def test_exact_images_and_videos(tmp_path):
    rng = np.random.default_rng(2)
    noise = {
        "top": rng.integers(0, 256, (10, 9, 7, 3), dtype=np.uint8),
        "gray": rng.integers(0, 256, (10, 16, 8, 1), dtype=np.uint8),
        "alpha": rng.integers(0, 256, (10, 8, 8, 4), dtype=np.uint8),
        "depth": rng.integers(0, 65536, (10, 8, 9, 1)).astype(np.uint16),
    }
    store = make(tmp_path / "exact" / "x.zarr", obs=noise, obs_keys=("state", *noise))
    back, lost, _ = round_trip(store, images="exact")
    assert lost == ()
    equal(store, back)
    level = np.arange(10, dtype=np.uint8)[:, None, None, None] * 20 + 10
    smooth = {key: np.broadcast_to(level, rows.shape).astype(rows.dtype) for key, rows in noise.items()}
    store = make(tmp_path / "video" / "x.zarr", obs=smooth, obs_keys=("state", *noise))
    back, lost, _ = round_trip(store)
    assert len(lost) == 5
    assert lost[0] == "alpha is compressed as a video, which changes pixels a little; `images` exact keeps them"
    np.testing.assert_array_equal(back.read("depth"), smooth["depth"])
    for key in ("top", "gray", "alpha"):
        frames = back.read(key).astype(int)
        assert frames.shape == (*smooth[key].shape[:3], 3)
        assert np.abs(frames - level).max() <= 2


def test_images_that_are_no_bytes(tmp_path):
    rng = np.random.default_rng(3)
    whole = rng.integers(0, 256, (10, 8, 8, 3)).astype(np.float32)
    obs = {"whole": whole, "unit": whole / 255, "first": np.moveaxis(whole, -1, 1).astype(np.uint8)}
    store = make(tmp_path / "x.zarr", obs=obs, obs_keys=("state", *obs))
    back, lost, _ = round_trip(store, images="exact")
    assert lost == ("first has its channels first; they are last in LeRobot", "unit is rounded to 8 bits")
    for key in obs:
        np.testing.assert_array_equal(back.read(key), whole)


def test_files_end_when_they_are_full(tmp_path, monkeypatch):
    monkeypatch.setattr(write, "MB", 1)  # bytes
    monkeypatch.setattr(parts, "GROUP_BYTES", 1)
    monkeypatch.setattr(encode, "MAX_FILES", 2)
    level = np.arange(10, dtype=np.uint8)[:, None, None, None] * 20 + 10
    obs = {"top": np.broadcast_to(level, (10, 16, 16, 3)).copy()}
    store = make(tmp_path / "x.zarr", (2, 2, 2, 2, 2), obs, obs_keys=("state", "top"))
    back, _, _ = round_trip(store)
    for pattern in ("data/*/*.parquet", "videos/*/*/*.mp4", "meta/episodes/*/*.parquet"):
        names = [re.findall(r"\d+", "/".join(path.parts[-2:])) for path in (tmp_path / "set").glob(pattern)]
        assert sorted(tuple(map(int, name[:2])) for name in names)[:3] == [(0, 0), (0, 1), (1, 0)], pattern
    np.testing.assert_array_equal(back.read("state"), store.read("state"))
    assert np.abs(back.read("top").astype(int) - level).max() <= 2


def test_what_the_options_say(tmp_path):
    store = make(tmp_path / "x.zarr", control_dt=None, tasks=("old", "older"))
    with pytest.raises(UserError, match=r"does not say how many steps a second has; give `fps`"):
        round_trip(store)
    back, _, _ = round_trip(store, fps=12.5, task="new", episodes=2)
    assert (back.attrs.tasks, back.attrs.control_dt, back.num_episodes) == (("new",), 0.08, 2)


@pytest.mark.parametrize("control_dt", [3600.0, 1000.5, 1e-6])
def test_videos_of_any_rate_that_a_store_may_have(tmp_path, control_dt):
    images = np.repeat(np.arange(10, dtype=np.uint8) * 20, 16 * 16 * 3).reshape(10, 16, 16, 3)
    store = make(tmp_path / "x.zarr", obs={"top": images}, control_dt=control_dt, obs_keys=("state", "top"))
    back, _, _ = round_trip(store)
    assert back.attrs.control_dt == pytest.approx(control_dt)
    assert np.abs(back.read("top").astype(int) - images).max() <= 2


def test_numbers_of_tasks_without_texts_are_named(tmp_path):
    _, lost, _ = round_trip(make(tmp_path / "x.zarr", facts={"task": [5, 6, 5]}))
    assert lost == ("task is not kept; there are no texts that its numbers stand for",)


def test_what_cannot_be_held_is_named(tmp_path):
    store = make(
        tmp_path / "x.zarr", splits={"train": (0, 2), "test": (1,)}, tasks=("a", "b"), facts={"task": [1, -1, 0]}
    )
    back, lost, _ = round_trip(store)
    assert lost == ("the part train is no range of episodes, so that LeRobot does not see it",)
    assert back.attrs.splits == {"test": (1,)}
    assert [back.attrs.tasks[i] for i in back.episode_attrs["task"]] == ["b", "no task stated", "a"]


def test_the_texts_are_an_index_for_pandas(tmp_path):
    pandas = pytest.importorskip("pandas", reason="pandas reads the tables as lerobot does")
    round_trip(make(tmp_path / "x.zarr", tasks=("lift",)))
    table = pandas.read_parquet(tmp_path / "set" / "meta" / "tasks.parquet")
    assert (list(table.index), table.loc["lift"].task_index) == (["lift"], 0)


def test_statistics_are_those_of_all_steps(tmp_path):
    store = make(tmp_path / "x.zarr")
    round_trip(store)
    stats = json.loads((tmp_path / "set" / "meta" / "stats.json").read_text())["observation.state"]
    rows = store.read("state").astype(np.float64)
    for name in ("mean", "std", "min", "max"):
        np.testing.assert_allclose(stats[name], getattr(rows, name)(0), atol=1e-12)
    assert stats["count"] == [10]
    (path,) = Path(tmp_path / "set" / "meta" / "episodes").rglob("*.parquet")
    table = pq.read_table(path)
    np.testing.assert_allclose(table["stats/observation.state/mean"][1].as_py(), rows[3:8].mean(0), atol=1e-12)
    assert table["dataset_to_index"].to_pylist() == [3, 8, 10]

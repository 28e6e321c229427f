"""inspect finds what was planted, and works on damaged stores."""

import io
import os
import re
from pathlib import Path

import numpy as np
import pytest
import zarr
from rich.console import Console

from robolearn.data.attrs import StoreAttrs
from robolearn.data.store import DemoStore
from robolearn.data.windows import Windows
from robolearn.data.writer import DemoWriter
from robolearn.doctor.account import inspect
from robolearn.doctor.duplicates import find_exact
from robolearn.doctor.examine import examine
from robolearn.types import Episode

SHARED = Path(os.environ.get("ROBOLEARN_SHARED", Path(__file__).parents[3] / "shared"))
HUMAN = SHARED / "data" / "pusht" / "pusht_cchi_v7_replay.zarr"


def walk(seed, length=30):
    state = np.cumsum(np.random.default_rng(seed).normal(size=(length, 3)), axis=0).astype(np.float32)
    state[:, 2] = 5
    return Episode(obs={"state": state}, actions=state[:, :2] * 2, attrs={"seed": seed})


@pytest.fixture
def path(tmp_path):
    episodes = [walk(0), walk(1), walk(0), walk(3, length=50)]
    episodes[3].obs["state"][20:, 1] += 500
    store = DemoWriter.create(tmp_path / "x.zarr", attrs=StoreAttrs(env_id="a:b/C-v0", control_dt=0.1))
    store.extend(episodes)
    return store.path


def printed(path):
    console = Console(file=io.StringIO(), width=150)
    report = inspect(path, console)
    return report, console.file.getvalue()


def test_finds_what_was_planted(path):
    report, text = printed(path)
    assert report.problems == []
    assert report.lengths.tolist() == [30, 30, 30, 50]
    assert find_exact(report.recording) == [(0, 2)]
    assert [(c.key, c.dim) for c in report.columns if c.near_constant] == [("state", 2)]
    assert [(j.key, j.dim, j.count, j.episode, j.step) for j in report.jumps] == [("state", 1, 1, 3, 20)]
    for part in (
        "a:b/C-v0",
        "0.1 s",
        "4 episodes, 140 steps = 0.2 min",
        "30 / 30 / 50",
        "near-constant",
        "0 = 2",
        "3:20",
    ):
        assert part in text


def test_episode_borders_are_no_jumps(tmp_path):
    store = DemoWriter.create(tmp_path / "x.zarr", attrs=StoreAttrs())
    store.extend([walk(0), Episode({"state": walk(1).obs["state"] + 1000}, walk(1).actions, {"seed": 1})])
    assert examine(DemoStore.open(tmp_path / "x.zarr")).jumps == []


def test_ranges(path):
    rows = DemoStore.open(path).read("state").astype(np.float64)
    column = next(c for c in examine(DemoStore.open(path)).columns if (c.key, c.dim) == ("state", 1))
    expected = [rows[:, 1].min(), rows[:, 1].max(), rows[:, 1].mean(), rows[:, 1].std()]
    assert [column.low, column.high, column.mean, column.std] == pytest.approx(expected)


def test_images_are_one_row(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (9, 4, 4, 3)).astype(np.uint8)
    store = DemoWriter.create(tmp_path / "x.zarr", attrs=StoreAttrs())
    store.append(Episode({"img": image}, np.zeros((9, 2), np.float32)))
    report, _ = printed(tmp_path / "x.zarr")
    column = next(c for c in report.columns if c.key == "img")
    assert [column.mean, column.std] == pytest.approx([image.mean(), image.std()])


@pytest.mark.parametrize(
    ("shape", "value", "message"),
    [
        ((2, 2, 3), 300, "data/state: 300.0 in episode 1, step 4, dim 0 (row 34) is no color"),
        ((600,), 1e300, "data/state: 1e+300 in episode 1, step 4, dim 0 (row 34) does not fit into float32"),
    ],
)
def test_what_training_would_refuse_is_a_problem(path, shape, value, message):
    """Also of keys that are too large to look at dimension by dimension, and only for the first row of a kind."""
    rows = np.ones((140, *shape))
    rows[34:].reshape(106, -1)[:, 0] = value
    zarr.open_group(path / "data", mode="r+").create_array("state", data=rows, chunks=(20, *shape), overwrite=True)
    assert [problem for problem in examine(DemoStore.open(path)).problems if message in problem]
    assert len(examine(DemoStore.open(path)).problems) == 1
    with pytest.raises(ValueError, match=re.escape(message)):
        Windows.from_store(DemoStore.open(path), ("state",), 1, 1)


def test_pictures_with_odd_channels_that_nobody_asked_for_are_a_note(path):
    rows = np.ones((140, 2, 8, 8), np.uint8)
    zarr.open_group(path / "data", mode="r+").create_array("cam", data=rows)
    report = examine(DemoStore.open(path))
    assert report.problems == []
    assert [note for note in report.notes if "data/cam" in note and "1, 3 or 4 channels" in note]


def test_damaged_stores_are_reported(path):
    rows = DemoStore.open(path).read("state")
    rows[[7, 40], 1] = np.nan
    group = zarr.open_group(path, mode="r+")
    group["data"].create_array("state", data=rows, overwrite=True)
    report, text = printed(path)
    assert report.not_finite == {"state": 2}
    assert "problem: " in text
    assert "data/state: nan in episode 0, step 7, dim 1 (row 7)" in text
    (path / "data" / "action" / "c" / "0" / "0").unlink()
    report, text = printed(path)
    assert "data/action/c/0/0 is missing" in text
    group["meta"].create_array("episode_ends", data=np.array([3, 2]), overwrite=True)
    report, text = printed(path)
    assert "episode 1 ends before it starts" in text
    assert "state" in text


def test_human_recordings():
    if not HUMAN.exists():
        pytest.skip(f"human demonstrations are not at {HUMAN} (set ROBOLEARN_SHARED)")
    store = DemoStore.open(HUMAN)
    for key in ("img", "keypoint"):
        store._data.pop(key)  # seconds to decode
    report = examine(store)
    assert report.problems == []
    assert len(report.lengths) == 206
    assert report.jumps[0].key == "state"
    assert report.jumps[0].dim == 4  # the angle wraps

"""The page of an inspection: all of it in one file, and groups that are there."""

import os

import numpy as np
import pytest
from markupsafe import escape

from robolearn.commands.main import main
from robolearn.data.attrs import StoreAttrs
from robolearn.data.store import DemoStore
from robolearn.data.writer import DemoWriter
from robolearn.doctor.clusters import find_groups, map_windows
from robolearn.doctor.examine import examine
from robolearn.doctor.page import write_page
from robolearn.doctor.recording import Recording
from robolearn.types import Episode


def two_ways(rng, count):
    """Episodes that go left or right, twice as many right."""
    share = np.linspace(0, 1, 30)[:, None]
    for i in range(count):
        side = 1.0 if i % 3 else -1.0
        yield np.concatenate([share, side * np.sin(np.pi * share)], 1) + 0.02 * rng.normal(size=(30, 2))


def test_groups_are_found_where_there_are_some():
    rng = np.random.default_rng(0)
    ends = np.arange(30, 631, 30)
    groups = find_groups(Recording(ends, {"state": np.concatenate(list(two_ways(rng, 21)))}))
    assert groups.labels.tolist() == [0 if i % 3 else 1 for i in range(21)]
    assert groups.silhouette > 0.8
    alike = find_groups(Recording(ends, {"state": rng.normal(size=(630, 2))}))
    assert not alike.labels.any()


def test_a_few_windows_have_no_map():
    assert map_windows(Recording(np.array([20]), {"state": np.random.default_rng(0).normal(size=(20, 2))})) is None


def test_windows_that_are_all_the_same_have_no_map():
    """Only first steps differ, which few windows see: t-SNE would divide by no spread, and end the process."""
    rows = np.zeros((480, 1))
    rows[::40, 0] = np.random.default_rng(0).normal(size=12)
    assert map_windows(Recording(np.arange(40, 481, 40), {"state": rows})) is None


@pytest.mark.parametrize("key", ['"><img src=x onerror=alert(1)> $_{$', "左手"])
def test_a_key_is_text_on_the_page(tmp_path, key):
    """Of any script, without a word about fonts that are not used."""
    rng = np.random.default_rng(0)
    store = DemoWriter.create(tmp_path / "x.zarr", attrs=StoreAttrs(control_dt=0.1, obs_keys=(key,)))
    store.extend([Episode({key: path.astype(np.float32)}, path.astype(np.float32)) for path in two_ways(rng, 4)])
    write_page(tmp_path / "page.html", examine(DemoStore.open(store.path)), "x")
    html = (tmp_path / "page.html").read_text()
    assert "<img" not in html
    assert escape(key) in html


def test_the_page_holds_everything(tmp_path):
    rng = np.random.default_rng(0)
    store = DemoWriter.create(tmp_path / "x.zarr", attrs=StoreAttrs(control_dt=0.1, obs_keys=("state", "<cam>")))
    for path in two_ways(rng, 9):
        rows = path.astype(np.float32)
        images = rng.integers(0, 256, (30, 9, 9, 3)).astype(np.uint8)
        store.append(Episode({"state": rows, "<cam>": images, "reward": rows[:, :1]}, rows))
    write_page(tmp_path / "page.html", examine(DemoStore.open(store.path)), "<x>")
    html = (tmp_path / "page.html").read_text()
    for part in (
        "Findings",
        "Length of each episode",
        "Return of each episode",
        "Ranges of state",
        "t-SNE",
        "2 groups",
    ):
        assert part in html
    assert html.count("data:image/png;base64,") == 12
    assert "<cam>" not in html
    assert "&lt;x&gt;" in html
    assert "http://" not in html.replace("http://www.w3.org", "")
    assert "https://" not in html


def test_where_the_page_cannot_be_is_said_before_the_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("robolearn.doctor.account.inspect", lambda *_, **__: pytest.fail("looked at the store first"))
    os.mkfifo(tmp_path / "fifo")
    for path, said in ((tmp_path, "is a directory"), (tmp_path / "fifo", "is a device")):
        with pytest.raises(SystemExit) as end:
            main(["inspect", str(tmp_path / "x.zarr"), "--html", str(path)])
        assert end.value.code == 2
        assert f"error: {path}: {said}, expected the name of a file" in capsys.readouterr().err


def test_a_file_of_another_kind_is_no_place_for_a_page(demos, tmp_path, capsys):
    config = tmp_path / "config.json"
    config.write_text("{}")
    with pytest.raises(SystemExit) as end:
        main(["inspect", str(demos), "--html", str(config)])
    assert end.value.code == 2
    assert f"error: --html {config} must end in .html" in capsys.readouterr().err
    assert config.read_text() == "{}"

"""One writer at a time, and a store that was begun and got no episode is no dead end."""

import re
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from robolearn.data.attrs import StoreAttrs
from robolearn.data.collect import collect
from robolearn.data.store import DemoStore
from robolearn.data.writer import DemoWriter, is_unbegun
from robolearn.locks import HeldError
from robolearn.types import Episode
from tests.data.episodes import assert_same, make_episode
from tests.data.kills import copy_as_killed

LINE = "tests.data.line_env:test/Line-v0"


def test_a_second_collect_is_refused_at_once_and_costs_nothing(tmp_path):
    """What happened before: both went on, and the store shrank to what the last one knew of."""
    out, refused = tmp_path / "x.zarr", []

    def meddle(now):
        if now.stored == 5:
            with pytest.raises(HeldError, match=r"x\.zarr is being written by process") as caught:
                collect(LINE, 9, out)
            refused.append(caught)

    assert collect(LINE, 9, out, num_envs=4, on_episode=meddle).stored == 9
    assert refused
    assert DemoStore.open(out).num_episodes == 9
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []


def test_a_writer_never_writes_over_what_another_appended(tmp_path):
    path = tmp_path / "x.zarr"
    one = DemoWriter.create(path, attrs=StoreAttrs())
    other = DemoWriter.append_to(path)
    one.append(make_episode(0))
    with pytest.raises(ValueError, match=r"another process has written to it meanwhile \(1 episodes, there were 0\)"):
        other.append(make_episode(1))
    with pytest.raises(ValueError, match="open it again"), other:
        pass
    DemoWriter.append_to(path).append(make_episode(1))
    store = DemoStore.open(path)
    assert store.num_episodes == 2
    assert_same(store.episode(0), make_episode(0))


def test_zeros_survive_a_second_writer(tmp_path):
    """zarr would remove a chunk that holds nothing but its fill value, and a missing chunk is lost data."""
    path = tmp_path / "x.zarr"
    for count in (1, 2, 3):
        writer = DemoWriter.append_to(path) if path.exists() else DemoWriter.create(path, attrs=StoreAttrs())
        zeros = np.zeros((5, 2), np.float32)
        writer.append(Episode({"state": zeros}, zeros, {"seed": 0, "success": False, "mode": 0}))
        store = DemoStore.open(path)
        assert {name: len(values) for name, values in store.episode_attrs.items()} == {
            "seed": count,
            "success": count,
            "mode": count,
        }
        assert not store.read("state").any()


def test_a_kill_at_any_point_of_the_beginning_is_no_dead_end(tmp_path, monkeypatch):
    """A copy before each replacement of a file, from the empty folder to the first episodes."""
    path, copies = tmp_path / "x.zarr", []
    replace, one_at_a_time = Path.replace, threading.Lock()

    def watched(source, target):
        with one_at_a_time:  # zarr writes with several threads
            copies.append(tmp_path / str(len(copies)))
            copy_as_killed(path, copies[-1])
            return replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", watched)
        store = DemoWriter.begin(path, attrs=StoreAttrs(expert="first"))
        begun = len(copies)
        patch.undo()
    (tmp_path / "empty").mkdir()
    for copy in [tmp_path / "empty", *copies[:begun], path]:
        assert is_unbegun(copy)
        with DemoWriter.begin(copy, attrs=StoreAttrs(expert="second")) as again:
            again.extend([make_episode(0), make_episode(1)])
        store = DemoStore.open(copy)
        assert (store.num_episodes, store.attrs.expert) == (2, "second")
        assert not is_unbegun(copy)
    assert begun >= 4


def test_arrays_of_an_unbegun_store_do_not_stay(tmp_path):
    path = tmp_path / "x.zarr"
    DemoWriter.create(path, attrs=StoreAttrs()).append(make_episode(0))
    ends = path / "meta" / "episode_ends" / "zarr.json"
    ends.write_text(re.sub(r'"shape": \[\s*1\s*\]', '"shape": [0]', ends.read_text()))  # killed just before it counted
    (path / "data" / "action").rename(path / "data" / "gone")
    assert is_unbegun(path)
    DemoWriter.begin(path, attrs=StoreAttrs()).append(make_episode(0))
    assert "gone" not in DemoStore.open(path).keys


@pytest.mark.parametrize("change", ["an episode", "ends lost", "a file of the user", "of another toolkit", "a file"])
def test_what_may_hold_something_is_not_begun_again(tmp_path, change):
    path = tmp_path / "x.zarr"
    store = DemoWriter.create(path, attrs=StoreAttrs())
    if change in ("an episode", "ends lost"):
        store.append(make_episode(0))
    if change == "ends lost":
        shutil.rmtree(path / "meta")
    if change == "a file of the user":
        (path / "notes.txt").touch()
    if change == "of another toolkit":
        (path / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    if change == "a file":
        shutil.rmtree(path)
        path.write_text("x")
    assert not is_unbegun(path)
    with pytest.raises(ValueError, match=r"exists already|cannot be written"):
        DemoWriter.begin(path, attrs=StoreAttrs())

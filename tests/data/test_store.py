"""DemoStore: what is written is what is read, in every encoding."""

import pickle
import shutil
from contextlib import ExitStack

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs import Blosc

from robolearn.data import store as store_module
from robolearn.data import writer as writer_module
from robolearn.data.attrs import StoreAttrs
from robolearn.data.chunks import configured
from robolearn.data.store import DemoStore, default_obs_keys
from robolearn.data.writer import DemoWriter
from robolearn.types import Episode
from tests.data.episodes import assert_same, make_episode

ATTRS = StoreAttrs(
    env_id="envs:robolearn/Avoid-v0",
    control_dt=0.05,
    units={"action": "m"},
    obs_keys=("state",),
    expert="scripted",
    source="here",
    licence="CC0",
    env_kwargs={"max_episode_steps": 7},
)


def write_diffusion_policy(path, zarr_format, separator=".", **arrays):
    """The layout of Diffusion Policy, without any attribute and in small chunks."""
    root = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    key_encoding = {"name": "v2", "separator": separator} if zarr_format == 2 else None
    for name, array in arrays.items():
        chunks = (min(5, len(array)), *array.shape[1:])
        folder = "meta" if name == "episode_ends" else "data"
        root.create_array(
            f"{folder}/{name}",
            data=array,
            chunks=chunks,
            chunk_key_encoding=key_encoding,
            config={"write_empty_chunks": True},
        )
    return path


def test_a_store_shows_what_it_holds(tmp_path):
    path = tmp_path / "a.zarr"
    store = DemoWriter.create(path, attrs=StoreAttrs())
    assert repr(store) == f"<DemoWriter {path}: 0 episodes, 0 steps of nothing>"
    for _ in range(2):
        store.append(Episode({"cam": np.zeros((600, 4, 4, 3), np.uint8)}, np.zeros((600, 2), np.float32)))
    steps = "1,200 steps of action float32[2], cam uint8[4, 4, 3]"
    assert repr(DemoStore.open(path)) == f"<DemoStore {path}: 2 episodes, {steps}>"


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "state": rng.standard_normal((23, 5)).astype(np.float32),
        "action": rng.standard_normal((23, 2)).astype(np.float32),
        "episode_ends": np.array([4, 11, 23]),
    }


def test_round_trip(tmp_path):
    written = [make_episode(i) for i in range(7)]
    store = DemoWriter.create(tmp_path / "x.zarr", attrs=ATTRS)
    store.append(written[0])
    store.extend(written[1:5])
    DemoWriter.append_to(tmp_path / "x.zarr").extend(written[5:])
    store = DemoStore.open(tmp_path / "x.zarr")
    assert store.attrs == ATTRS
    assert (store.num_episodes, store.num_steps) == (7, sum(map(len, written)))
    assert set(store.keys) == {"state", "img", "action"}
    assert store.shapes["img"] == (2, 2, 3)
    assert default_obs_keys(store) == ("state",)
    for i, episode in enumerate(written):
        assert_same(store.episode(i), episode)
    np.testing.assert_array_equal(store.read("state"), np.concatenate([e.obs["state"] for e in written]))


def test_chunks_are_large(tmp_path):
    store = DemoWriter.create(tmp_path / "x.zarr", attrs=ATTRS)
    store.append(make_episode(0))
    group = zarr.open_group(tmp_path / "x.zarr", mode="r")
    assert group["data/state"].chunks[0] >= 1000
    assert group["data/img"].chunks[0] == 100


@settings(max_examples=15)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.data())
def test_grouping_of_appends_does_not_matter(tmp_path_factory, lengths, data):
    """Chunks of 4 rows: episodes end before, at and behind the edges of chunks."""
    path = tmp_path_factory.mktemp("s") / "x.zarr"
    written = [make_episode(i, length) for i, length in enumerate(lengths)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer_module, "LOW_DIM_CHUNK", 4)
        patch.setattr(writer_module, "IMAGE_CHUNK", 3)
        store, rest = DemoWriter.create(path, attrs=ATTRS), written
        while rest:
            count = data.draw(st.integers(1, len(rest)))
            store.extend(rest[:count])
            rest = rest[count:]
            if data.draw(st.booleans()):
                store = DemoWriter.append_to(path)
    store = DemoStore.open(path)
    assert store.num_episodes == len(written)
    for i, episode in enumerate(written):
        assert_same(store.episode(i), episode)


@pytest.mark.parametrize(("zarr_format", "separator"), [(2, "."), (2, "/"), (3, "/")])
@pytest.mark.parametrize("as_zip", [False, True])
def test_diffusion_policy_layout(tmp_path, arrays, zarr_format, separator, as_zip):
    path = write_diffusion_policy(tmp_path / "dp.zarr", zarr_format, separator, **arrays)
    if as_zip:
        path = shutil.make_archive(str(path), "zip", path)
    store = DemoStore.open(path)
    assert store.attrs == StoreAttrs(schema_version=None)
    np.testing.assert_array_equal(store.read("state"), arrays["state"])
    np.testing.assert_array_equal(store.episode(1).actions, arrays["action"][4:11])
    with pytest.raises(ValueError, match="only a directory written by robolearn"):
        DemoWriter.append_to(path)


def test_a_part_of_a_store_that_declares_nothing_is_a_store_of_ours(tmp_path, arrays):
    store = DemoStore.open(write_diffusion_policy(tmp_path / "dp.zarr", 2, **arrays))
    part = tmp_path / "part.zarr"
    DemoWriter.begin(part, attrs=store.attrs).append(store.episode(0))
    DemoWriter.begin_or_go_on(part, store.attrs, "made otherwise").append(store.episode(1))
    assert DemoStore.open(part).num_episodes == 2
    np.testing.assert_array_equal(DemoStore.open(part).episode(1).actions, arrays["action"][4:11])


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "|u1", "<i8", "|b1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_types_and_orders_of_v2(tmp_path, arrays, dtype, order):
    arrays["state"] = np.arange(46).reshape(23, 2).astype(dtype)
    path = write_diffusion_policy(tmp_path / "dp.zarr", 2, **{k: v for k, v in arrays.items() if k != "state"})
    group = zarr.open_group(path / "data", mode="r+", zarr_format=2)
    group.create_array("state", data=arrays["state"], chunks=(5, 2), order=order, compressors=Blosc())
    store = DemoStore.open(path)
    np.testing.assert_array_equal(store.read("state"), arrays["state"])
    np.testing.assert_array_equal(store.episode(1).obs["state"], arrays["state"][4:11])


def test_zeros_are_stored(tmp_path):
    """A chunk of the fill value must not be left out: its absence would look like damage."""
    store = DemoWriter.create(tmp_path / "x.zarr", attrs=ATTRS)
    zeros = np.zeros((3, 2), np.float32)
    store.append(Episode(obs={"state": zeros}, actions=zeros, attrs={"success": False}))
    assert DemoStore.open(tmp_path / "x.zarr").episode(0).attrs == {"success": False}
    np.testing.assert_array_equal(DemoStore.open(tmp_path / "x.zarr").read("state"), zeros)


def test_content_hash_sees_content_only(tmp_path, arrays):
    paths = [tmp_path / f"{v}.zarr" for v in (2, 3)]
    hashes = {
        DemoStore.open(write_diffusion_policy(p, v, **arrays)).content_hash()
        for p, v in zip(paths, (2, 3), strict=True)
    }
    assert len(hashes) == 1
    arrays["state"][7, 1] += 1
    store = DemoStore.open(write_diffusion_policy(paths[0], 2, **arrays))
    assert store.content_hash() not in hashes
    assert store.content_hash(["action"]) == DemoStore.open(paths[1]).content_hash(["action"])


def test_slabs_cover_every_row(tmp_path, arrays, monkeypatch):
    monkeypatch.setattr(store_module, "SLAB_BYTES", 100)
    store = DemoStore.open(write_diffusion_policy(tmp_path / "dp.zarr", 2, **arrays))
    assert [(start, len(rows)) for start, rows in store.slabs("state")] == [
        (0, 5),
        (5, 5),
        (10, 5),
        (15, 5),
        (20, 3),
    ]
    np.testing.assert_array_equal(store.read("state"), arrays["state"])


def test_what_is_observed_by_default(tmp_path, arrays):
    """What cannot be told from what is there has to be said."""
    pose = arrays.pop("state")

    def observed(**keys):
        name = "-".join(keys)
        return default_obs_keys(DemoStore.open(write_diffusion_policy(tmp_path / f"{name}.zarr", 2, **arrays, **keys)))

    assert observed(keypoint=pose) == ("keypoint",)
    assert observed(keypoint=pose, state=pose) == ("state",)
    with pytest.raises(ValueError, match=r"`dataset.obs_keys` \(there are: keypoint, pose\)"):
        observed(keypoint=pose, pose=pose)


def changed(**changes):
    episode = make_episode(1)
    fields = {"obs": episode.obs, "actions": episode.actions, "attrs": episode.attrs}
    return Episode(**{**fields, **changes})


def test_what_does_not_fit_is_refused_and_nothing_is_lost(tmp_path):
    store = DemoWriter.create(tmp_path / "x.zarr", attrs=ATTRS)
    store.append(make_episode(0))
    good = make_episode(1)
    nan = good.obs["state"].copy()
    nan[2, 3] = np.nan
    for bad, message in [
        (changed(actions=good.actions[:0]), "episode 1 has no steps"),
        (changed(actions=good.actions[:-1]), r"episode 1: data/state has 4 rows for 3 actions"),
        (changed(obs={"state": good.obs["state"]}), "episode 1 has"),
        (changed(attrs={}), "episode 1 has"),
        (changed(obs={**good.obs, "state": nan}), "episode 1: data/state: nan in episode 0, step 2, dim 3"),
    ]:
        with pytest.raises(ValueError, match=message):
            store.extend([bad])
    store.append(good)
    assert_same(DemoStore.open(tmp_path / "x.zarr").episode(1), good)


def test_create_refuses_what_is_there(tmp_path):
    DemoWriter.create(tmp_path / "x.zarr", attrs=ATTRS)
    with pytest.raises(ValueError, match="exists already"):
        DemoWriter.create(tmp_path / "x.zarr", attrs=ATTRS)
    with pytest.raises(ValueError, match="cannot be written"):
        DemoWriter.create("/proc/x.zarr", attrs=ATTRS)


def test_an_episode_is_read_without_the_numbers_of_all_others(tmp_path, monkeypatch):
    """Else reading all of 1e5 episodes, one by one, decodes 1e10 numbers."""
    monkeypatch.setattr(writer_module, "LOW_DIM_CHUNK", 8)
    DemoWriter.create(tmp_path / "x.zarr", attrs=ATTRS).extend([make_episode(i) for i in range(40)])
    store, reads = DemoStore.open(tmp_path / "x.zarr"), []
    container = store._chunks.container
    read = container.read
    monkeypatch.setattr(container, "read", lambda name, limit: reads.append(name) or read(name, limit))
    assert_same(store.episode(30), make_episode(30))
    numbers = [name for name in reads if name.startswith("meta/") and not name.endswith("zarr.json")]
    assert sorted(numbers) == [f"meta/{name}/c/3" for name in ("mode", "score", "seed", "success")]


def test_a_store_travels_to_the_workers_of_a_loader(tmp_path):
    """Pickled, as it is where processes are spawned, which Python does by default from 3.14 on."""
    writer = DemoWriter.create(tmp_path / "x.zarr", attrs=ATTRS)
    writer.extend([make_episode(i) for i in range(3)])
    for store in (DemoStore.open(tmp_path / "x.zarr"), writer):
        there = pickle.loads(pickle.dumps(store))
        assert type(there) is DemoStore
        assert_same(there.episode(2), make_episode(2))


def test_threads_that_come_and_go_leave_zarr_configured_as_it_was():
    """Each of them would set back what it came upon, the last one what is ours."""
    option = "array.write_empty_chunks"
    before, first, second = zarr.config.get(option), ExitStack(), ExitStack()
    assert not before
    first.enter_context(configured)
    second.enter_context(configured)
    first.close()
    assert zarr.config.get(option)
    second.close()
    assert zarr.config.get(option) == before

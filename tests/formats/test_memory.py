"""Memory does not grow with the data set: four times the episodes have the same peak, whatever the format."""

import tracemalloc
import weakref

import h5py
import numpy as np
import pytest

from robolearn.data import zarr_v2
from robolearn.data.attrs import StoreAttrs
from robolearn.data.store import DemoStore
from robolearn.data.writer import DemoWriter
from robolearn.formats import d4rl, npy, stored, transfer
from robolearn.formats.format import ExportOptions, Format, ImportOptions, Recording
from robolearn.formats.registry import FORMATS
from robolearn.formats.transfer import export_demos, import_demos
from robolearn.types import Episode

STEPS, SIDE, FEW, MANY = 8, 64, 4, 16
EPISODE = STEPS * SIDE * SIDE * 3  # bytes of its images


@pytest.fixture(scope="session")
def source_store(tmp_path_factory):
    path, rng = tmp_path_factory.mktemp("memory") / "source.zarr", np.random.default_rng(0)
    episodes = [
        Episode({"top": rng.integers(0, 256, (STEPS, SIDE, SIDE, 3), np.uint8)}, rng.normal(size=(STEPS, 2)))
        for _ in range(MANY)
    ]
    for episode in episodes:
        episode.obs["state"] = episode.actions + 1
    DemoWriter.create(path, attrs=StoreAttrs(control_dt=0.1, obs_keys=("top", "state"))).extend(episodes)
    return path


def write_d4rl(store, count, path):
    with h5py.File(path, "w") as file:
        for key, name in (("top", "observations/top"), ("state", "observations/state"), ("action", "actions")):
            file[name] = store.rows(key, 0, STEPS * count)
        file["timeouts"] = np.arange(STEPS * count) % STEPS == STEPS - 1


def write_npz_each(store, count, path):
    path.mkdir()
    for i in range(count):
        episode = store.episode(i)
        np.savez(path / f"{i}.npz", action=episode.actions, **episode.obs)


def write_npz_all(store, count, path):
    rows = {key: store.rows(key, 0, STEPS * count) for key in ("top", "state", "action")}
    np.savez(path, episode_ends=STEPS * np.arange(1, count + 1), **rows)


def exported(kind, **options):
    return lambda store, count, path: export_demos(store.path, path, kind, ExportOptions(episodes=count, **options))


SOURCES = {  # format, what writes it, what its file is called
    "robomimic": ("robomimic", exported("robomimic"), "x.hdf5"),
    "act": ("act", exported("act"), "x"),
    "minari": ("minari", exported("minari"), "x-v0"),
    "diffusion_policy": ("diffusion_policy", exported("diffusion_policy"), "x.zarr"),
    "lerobot, video": ("lerobot", exported("lerobot"), "x"),
    "lerobot, exact": ("lerobot", exported("lerobot", images="exact"), "x"),
    "d4rl": ("d4rl", write_d4rl, "x.hdf5"),
    "npz, each": ("npz", write_npz_each, "x"),
    "npz, all": ("npz", write_npz_all, "x.npz"),
}
WHOLE = {"adroit"}  # a pickle cannot be read in part


def peak(kind, source):
    """Largest memory of reading all episodes, one after the other, beyond what was held before [bytes]."""
    read = FORMATS[kind].read
    assert read is not None
    tracemalloc.start()
    try:
        for _ in read(source, ImportOptions()).episodes:
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", SOURCES)
def test_four_times_the_episodes_are_read_in_the_same_memory(tmp_path, source_store, name, monkeypatch):
    for module in (d4rl, npy, stored):  # blocks that a small set would not fill would grow with it
        monkeypatch.setattr(module, "BLOCK_BYTES", EPISODE)
    monkeypatch.setattr(zarr_v2, "CHUNK_BYTES", EPISODE)
    kind, write, file = SOURCES[name]
    peaks = []
    for count in (FEW, MANY):
        folder = tmp_path / str(count)
        folder.mkdir()
        write(DemoStore.open(source_store), count, folder / file)
        peaks.append(peak(kind, folder / file))
    assert peaks[1] < peaks[0] + 3 * EPISODE, f"{peaks[0] / EPISODE:.1f} to {peaks[1] / EPISODE:.1f} episodes"


def test_every_format_is_measured():
    assert {kind for kind, *_ in SOURCES.values()} | WHOLE == {name for name, entry in FORMATS.items() if entry.read}


@pytest.mark.parametrize("count", [FEW, MANY])
def test_few_episodes_are_held_while_a_store_is_written(tmp_path, monkeypatch, count):
    """One is written, one waits for that, one is being read."""
    given, most = [], 0

    def episodes():
        nonlocal most
        for i in range(count):
            episode = Episode({"state": np.full((3, 2), i, np.float32)}, np.zeros((3, 1), np.float32))
            given.append(weakref.ref(episode))
            most = max(most, sum(reference() is not None for reference in given))
            yield episode
            del episode

    monkeypatch.setattr(transfer, "BATCH_BYTES", 1)
    monkeypatch.setitem(FORMATS, "counted", Format("counted", lambda *_: Recording(StoreAttrs(), episodes())))
    (tmp_path / "x").touch()
    assert import_demos(tmp_path / "x", tmp_path / "x.zarr", "counted").num_episodes == count
    assert most <= 3
    assert DemoStore.open(tmp_path / "x.zarr").read("state")[:, 0].tolist() == [i for i in range(count) for _ in "123"]

"""HDF5 files on disks that refuse: one line, and a process that lives on."""

import errno
import os

import numpy as np
import pytest

from robolearn.data.attrs import StoreAttrs
from robolearn.data.writer import DemoWriter
from robolearn.errors import UserError
from robolearn.formats import hdf5_writing
from robolearn.formats.format import ExportOptions
from robolearn.formats.hdf5_writing import Patient, writing_hdf5
from robolearn.formats.transfer import export_demos, import_demos
from robolearn.types import Episode

h5py = pytest.importorskip("h5py")


class Disk:
    """A disk that holds so many bytes."""

    def __init__(self, room):
        self.room, self.pwrite = room, os.pwrite

    def __call__(self, handle, data, at):
        if at + len(data) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.pwrite(handle, data, at)


@pytest.fixture
def store(tmp_path):
    rng = np.random.default_rng(0)
    writer = DemoWriter.create(tmp_path / "demos.zarr", attrs=StoreAttrs(control_dt=0.1, obs_keys=("state",)))
    writer.extend([Episode({"state": rng.normal(size=(30, 2))}, rng.normal(size=(30, 2))) for _ in range(8)])
    return tmp_path / "demos.zarr"


@pytest.mark.parametrize("kind", ["robomimic", "act", "minari"])
@pytest.mark.parametrize("room", [0, 1_500, 9_000])
def test_a_full_disk_is_one_line_and_leaves_nothing(store, kind, room, monkeypatch):
    monkeypatch.setattr(hdf5_writing.os, "pwrite", Disk(room))
    out = store.parent / "out.hdf5"
    # An episode of ACT has a file of its own, of less than that.
    if kind == "act" and room == 9_000:
        export_demos(store, out, kind, ExportOptions(fps=10.0))
        return
    with pytest.raises(UserError, match=r"out\.hdf5: cannot be written \(No space left on device\)$"):
        export_demos(store, out, kind, ExportOptions(fps=10.0))
    assert [path.name for path in store.parent.iterdir()] == ["demos.zarr"]
    monkeypatch.undo()
    export_demos(store, out, kind, ExportOptions(fps=10.0))
    assert import_demos(out, store.parent / "again.zarr").num_steps == 240


def test_an_export_ends_with_the_episode_that_the_disk_refuses(store, monkeypatch):
    written = []

    def write_all():
        with writing_hdf5(store.parent / "x.hdf5") as (file, check):
            for i in range(8):
                file[f"episode_{i}"] = np.zeros(1000)
                written.append(i)
                check()

    monkeypatch.setattr(hdf5_writing.os, "pwrite", Disk(6_000))
    with pytest.raises(OSError, match="No space"):
        write_all()
    assert 0 < len(written) < 8


def test_the_library_reads_what_was_written(tmp_path):
    with writing_hdf5(tmp_path / "x.hdf5") as (file, check):
        for i in range(300):  # more than the library keeps of its own records
            file[f"group/{i % 7}/{i}"] = np.full((50, 3), i)
            file[f"group/{i % 7}"].attrs[f"name {i}"] = i
            check()
    with h5py.File(tmp_path / "x.hdf5") as file:
        for i in range(300):
            assert (file[f"group/{i % 7}/{i}"][...] == i).all()
            assert file[f"group/{i % 7}"].attrs[f"name {i}"] == i


@pytest.mark.parametrize("room", [0, 5, 9, 1000])
def test_what_the_disk_refused_is_read_as_it_was_written(tmp_path, room, monkeypatch):
    monkeypatch.setattr(hdf5_writing.os, "pwrite", Disk(room))
    expected, rng = bytearray(64), np.random.default_rng(room)
    with (tmp_path / "x").open("w+b", buffering=0) as raw:
        stream = Patient(raw)
        for _ in range(40):
            at, data = int(rng.integers(50)), rng.bytes(int(rng.integers(1, 12)))
            stream.seek(at)
            assert stream.write(data) == len(data)
            expected[at : at + len(data)] = data
        end = stream.seek(0, os.SEEK_END)
        stream.seek(3)
        assert stream.read() == bytes(expected[3:end])
        stream.seek(end - 2)
        assert stream.read(10) == bytes(expected[end - 2 : end])
        if room < 64:
            with pytest.raises(OSError, match="No space"):
                stream.check()

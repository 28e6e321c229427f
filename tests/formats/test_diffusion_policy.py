"""Stores of Diffusion Policy in, from v2 and v3, folders and zips, and out as v2."""

import json
import shutil

import numcodecs
import numpy as np
import pytest
import zarr

from robolearn.data.store import DemoStore
from robolearn.errors import UserError
from robolearn.formats.format import ImportOptions
from robolearn.formats.registry import recognize
from robolearn.formats.transfer import export_demos, import_demos

ENDS = np.array([7, 12, 20])
IMAGES = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), np.uint8)
ROWS = np.random.default_rng(1).normal(size=(20, 5)).astype(np.float32)


def write(path, zarr_format=2, **images):
    root = zarr.create_group(str(path), zarr_format=zarr_format)
    for name, rows in (("action", ROWS[:, :2]), ("agent_pos", ROWS), ("keypoint", ROWS[:, :4].reshape(20, 2, 2))):
        root.create_array(f"data/{name}", data=rows, chunks=(6, *rows.shape[1:]))
    root.create_array("data/camera0_rgb", data=IMAGES, chunks=(1, 16, 16, 3), **images)
    root.create_array("meta/episode_ends", data=ENDS)
    return path


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_everything_there_is(tmp_path, zarr_format, zipped):
    path = write(tmp_path / "replay.zarr", zarr_format)
    if zipped:
        shutil.make_archive(str(path), "zip", path)
        path = tmp_path / "replay.zarr.zip"
    assert recognize(path) == "diffusion_policy"
    import_demos(path, tmp_path / "x.zarr", options=ImportOptions(image_size=(8, 8)))
    store = DemoStore.open(tmp_path / "x.zarr")
    assert store.episode_ends.tolist() == ENDS.tolist()
    for key, rows in (("action", ROWS[:, :2]), ("agent_pos", ROWS), ("keypoint", ROWS[:, :4].reshape(20, 2, 2))):
        np.testing.assert_array_equal(store.read(key), rows)
    assert store.shapes["camera0_rgb"] == (8, 8, 3)
    assert store.attrs.obs_keys == ("agent_pos", "camera0_rgb", "keypoint")
    assert store.encoding == "zarr v3, directory"


def test_jpeg2k(tmp_path):
    codecs = pytest.importorskip("imagecodecs.numcodecs", reason="needs imagecodecs-numcodecs")
    codecs.register_codecs("imagecodecs_jpeg2k", verbose=False)
    write(tmp_path / "replay.zarr", compressors=numcodecs.get_codec({"id": "imagecodecs_jpeg2k", "level": 0}))
    import_demos(tmp_path / "replay.zarr", tmp_path / "x.zarr", options=ImportOptions(cameras=("camera0",)))
    np.testing.assert_array_equal(DemoStore.open(tmp_path / "x.zarr").read("camera0_rgb"), IMAGES)


def test_out_as_v2(tmp_path, rich_store):
    export_demos(rich_store, tmp_path / "out.zarr", "diffusion_policy")
    layout = json.loads((tmp_path / "out.zarr" / "data" / "action" / ".zarray").read_text())
    assert (layout["zarr_format"], layout["compressor"]["id"], layout["filters"]) == (2, "blosc", None)
    root, store = zarr.open_group(str(tmp_path / "out.zarr"), mode="r", zarr_format=2), DemoStore.open(rich_store)
    for key in store.keys:
        np.testing.assert_array_equal(root[f"data/{key}"][:], store.read(key))
    np.testing.assert_array_equal(root["meta/episode_ends"][:], store.episode_ends)
    assert store.encoding != DemoStore.open(tmp_path / "out.zarr").encoding


def test_refused_in_one_line(tmp_path):
    path = write(tmp_path / "replay.zarr")
    (path / "data" / "agent_pos" / "1.0").write_bytes(b"")
    with pytest.raises(UserError, match=r"chunk data/agent_pos/1\.0 is damaged"):
        import_demos(path, tmp_path / "x.zarr")
    shutil.rmtree(path / "data" / "action")
    with pytest.raises(UserError, match="data/action is missing"):
        import_demos(path, tmp_path / "x.zarr")
    with pytest.raises(UserError, match="not a zarr store"):
        import_demos(tmp_path, tmp_path / "x.zarr", "diffusion_policy")
    assert not (tmp_path / "x.zarr").exists()

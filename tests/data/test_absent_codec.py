"""A codec that is not installed costs the key that needs it, and no other."""

import json

import numcodecs.registry
import numpy as np
import pytest
import zarr

from robolearn.data.demos import Demos
from robolearn.data.store import DemoStore
from robolearn.data.windows import Windows
from robolearn.errors import UserError

CODEC = "imagecodecs_jpeg2k"


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Diffusion Policy's layout, with images in a codec that is then taken away."""
    monkeypatch.delitem(numcodecs.registry.entries, CODEC, raising=False)
    monkeypatch.delitem(numcodecs.registry.codec_registry, CODEC, raising=False)
    root = zarr.open_group(tmp_path / "dp.zarr", mode="w", zarr_format=2)
    root.create_array("data/state", data=np.arange(10, dtype=np.float32).reshape(5, 2))
    root.create_array("data/action", data=np.ones((5, 2), np.float32))
    root.create_array("data/img", data=np.zeros((5, 8, 8, 3), np.uint8), compressors=None)
    root.create_array("meta/episode_ends", data=np.array([5]))
    return tmp_path / "dp.zarr"


def encode(store, codec, key="img"):
    file = store / "data" / key / ".zarray"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"compressor": {"id": codec, "level": 50}}))


def declare(store, keys):
    (store / ".zattrs").write_text(json.dumps({"schema_version": 1, "obs_keys": keys}))


@pytest.mark.parametrize("codec", [CODEC, "imagecodecs_jpegxl"])
@pytest.mark.parametrize("declared", [None, ["img", "state"]])
def test_other_keys_are_read(store, codec, declared):
    encode(store, codec)
    if declared:
        declare(store, declared)
    assert (
        Windows.from_store(DemoStore.open(store), ["state"], 1, 2).arrays()["state"][:, 0] == np.arange(0, 10, 2)
    ).all()
    with pytest.raises(UserError, match=f"data/img: .*{codec}.* is not "):
        Demos.open(store).shape("img")


def test_the_line_says_what_brings_the_codec(store):
    encode(store, CODEC)
    with pytest.raises(UserError, match=r'imagecodecs_jpeg2k.*pip install "robolearn\[formats\]"'):
        DemoStore.open(store).check_key("img")
    declare(store, ["img"])
    assert [line for line in DemoStore.open_unchecked(store).problems() if "img" in line and CODEC in line]


def test_actions_are_needed_by_everybody(store):
    encode(store, CODEC, "action")
    with pytest.raises(UserError, match="data/action: its codec"):
        DemoStore.open(store)

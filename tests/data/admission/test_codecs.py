"""Stores from strangers: only admitted codecs are made, and no more is decoded than a chunk may become."""

import gzip
import json
import resource
import shutil

import numcodecs
import numpy as np
import pytest
import zarr
from numcodecs.registry import codec_registry
from numcodecs.zstd import Zstd

from robolearn.data import codecs
from robolearn.data.store import DemoStore
from robolearn.data.writer import DemoWriter
from tests.data.admission.stores import ARRAYS, add_array, document, edit, inspected, train_on
from tests.data.episodes import make_episode
from tests.data.test_store import ATTRS, write_diffusion_policy

MARKED_V3 = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "numcodecs.marker"}]


@pytest.mark.parametrize("name", ["data/state", "data/action", "data/other", "meta/episode_ends", "meta/other"])
def test_no_other_codec_is_made(v2, marker, capsys, name):
    """Neither as filter nor as compressor, nor in consolidated metadata, nor where nobody asked for the array."""
    for change in ({"filters": [{"id": "marker"}]}, {"compressor": {"id": "marker"}}):
        if (v2 / name).exists():
            edit(v2, name, **change)
        else:
            add_array(v2, name, **change)
        zarr_metadata = {f"{name}/.zarray": json.loads(document(v2, name).read_text()), ".zgroup": {"zarr_format": 2}}
        (v2 / ".zmetadata").write_text(json.dumps({"zarr_consolidated_format": 1, "metadata": zarr_metadata}))
        status, text = inspected(v2, capsys)
        assert name in text
        assert "'marker' is not admitted" in text
        assert status == (0 if name.endswith("other") else 1)
        assert not marker.exists()
        shutil.make_archive(str(v2), "zip", v2)
        inspected(v2.with_suffix(".zarr.zip"), capsys)
        assert not marker.exists()
    zarr.open_group(v2 / "data", mode="r")  # zarr itself would make it
    if name == "data/state":
        zarr.open_array(v2 / "data" / "state", mode="r")
        assert marker.exists()


def test_no_other_codec_is_made_in_v3(v3, marker, capsys):
    add_array(v3, "data/other", codecs=MARKED_V3)
    root = json.loads((v3 / "zarr.json").read_text())
    root["consolidated_metadata"] = {
        "kind": "inline",
        "must_understand": False,
        "metadata": {"data/other": json.loads(document(v3, "data/other").read_text())},
    }
    (v3 / "zarr.json").write_text(json.dumps(root))
    status, text = inspected(v3, capsys)
    assert status == 0
    assert "data/other: codec 'numcodecs.marker' is not admitted" in text
    with pytest.raises(ValueError, match=r"data/other: codec 'numcodecs.marker' is not admitted"):
        train_on(v3, ("other",))
    sharded = {"chunk_shape": [5, 2], "codecs": MARKED_V3, "index_codecs": [{"name": "bytes"}]}
    edit(v3, "data/other", codecs=[{"name": "sharding_indexed", "configuration": sharded}])
    assert "'numcodecs.marker' is not admitted" in inspected(v3, capsys)[1]
    sharded |= {"codecs": [{"name": "bytes"}], "index_codecs": MARKED_V3}
    edit(v3, "data/other", codecs=[{"name": "sharding_indexed", "configuration": sharded}])
    assert "has the index codecs ['bytes', 'numcodecs.marker']" in inspected(v3, capsys)[1]
    assert not marker.exists()


def test_a_writer_makes_no_other_codec(tmp_path, marker):
    """Appending to a store that claims to be ours."""
    path = tmp_path / "x.zarr"
    DemoWriter.create(path, attrs=ATTRS).append(make_episode(0))
    edit(path, "meta/episode_ends", codecs=MARKED_V3)
    with pytest.raises(ValueError, match=r"'numcodecs\.marker' is not admitted"):
        DemoWriter.append_to(path)
    assert not marker.exists()


def test_the_payload_of_a_pickle_is_not_run(v2, tmp_path, capsys):
    """The case that ran with numcodecs 0.16.5: an object array whose filters are vlen-utf8 and pickle."""
    payload = f"cos\nsystem\n(S'touch {tmp_path}/ran'\ntR.".encode()
    for compressor in (None, {"id": "zlib", "level": 1}):
        changes = {"dtype": "|O", "filters": [{"id": "vlen-utf8"}, {"id": "pickle", "protocol": 5}]}
        for name in ("data/text", "meta/text", "data/state"):
            if not (v2 / name).exists():
                add_array(v2, name)
            edit(v2, name, compressor=compressor, **changes)
            for chunk in (v2 / name).glob("[0-9]*"):
                chunk.write_bytes(payload)
        status, text = inspected(v2, capsys)
        assert status == 1
        assert "has type '|O'" in text
        for dtype in ("<f4", "<U8"):
            edit(v2, "data/text", dtype=dtype)
            inspected(v2, capsys)
        assert not (tmp_path / "ran").exists()


def test_only_listed_codecs_are_ever_looked_up(path, monkeypatch, capsys):
    """Counted where numcodecs and zarr make them."""
    made = []
    monkeypatch.setattr("zarr.core.metadata.v2.get_numcodec", lambda data: made.append(data["id"]))
    monkeypatch.setattr(numcodecs, "get_codec", lambda data: made.append(data["id"]))
    for index, codec in enumerate(sorted(codec_registry)):
        if document(path, "data/state").name == ".zarray":
            add_array(path, f"data/more{index}", compressor={"id": codec}, filters=[{"id": codec}])
        else:
            add_array(path, f"data/more{index}", codecs=[{"name": "bytes"}, {"name": f"numcodecs.{codec}"}])
    inspected(path, capsys)
    assert set(made) <= {*codecs.COMPRESSORS_V2, *codecs.FILTERS_V2}


@pytest.mark.parametrize("compressor", [None, "zstd", "lz4", "zlib", "gzip", "bz2", "lzma", "blosc"])
@pytest.mark.parametrize("filters", [None, ["shuffle"], ["delta"], ["crc32"], ["delta", "shuffle"]])
def test_admitted_codecs_of_v2_are_read(tmp_path, compressor, filters):
    make = {"shuffle": numcodecs.Shuffle(4), "delta": numcodecs.Delta("<i4"), "crc32": numcodecs.CRC32()}
    path = write_diffusion_policy(tmp_path / "dp.zarr", 2, **ARRAYS)
    rows = np.arange(46, dtype=np.int32).reshape(23, 2)
    zarr.open_group(path / "data", mode="r+", zarr_format=2).create_array(
        "state",
        data=rows,
        chunks=(5, 2),
        overwrite=True,
        compressors=None if compressor is None else numcodecs.get_codec({"id": compressor}),
        filters=None if filters is None else [make[name] for name in filters],
    )
    np.testing.assert_array_equal(DemoStore.open(path).read("state"), rows)


@pytest.mark.parametrize("location", ["start", "end"])
@pytest.mark.parametrize(
    "compressor", [None, zarr.codecs.ZstdCodec(), zarr.codecs.GzipCodec(), zarr.codecs.BloscCodec()]
)
def test_sharded_arrays_are_read_and_weighed(tmp_path, location, compressor):
    path = write_diffusion_policy(tmp_path / "dp.zarr", 3, **ARRAYS)
    rows = np.arange(46, dtype=np.float32).reshape(23, 2)
    inner = [zarr.codecs.BytesCodec(), *([compressor] if compressor else [])]
    codec = zarr.codecs.ShardingCodec(chunk_shape=(5, 1), codecs=inner, index_location=location)
    zarr.open_group(path / "data", mode="r+").create_array(
        "state", data=rows, chunks=(10, 2), serializer=codec, compressors=None, overwrite=True
    )
    np.testing.assert_array_equal(DemoStore.open(path).read("state"), rows)
    edit(path, "data/state", data_type="uint8", fill_value=0)  # now every chunk says that it becomes four times as much
    edit(path, "data/state", shape=[23, 2])
    with pytest.raises(ValueError, match="data/state/c/0/0 is damaged"):
        DemoStore.open(path).read("state")


def bomb(compressor, size):
    zeros = np.zeros(size, np.uint8)
    if compressor == "zstd stream":  # a frame that does not say what it becomes
        frame = bytes(Zstd(1).encode(zeros))
        head = frame[4]
        width = (1, 2, 4, 8)[head >> 6] if head & 0x20 or head >> 6 else 0
        start = 5 + (not head & 0x20)
        return frame[:4] + bytes([head & ~0xE0 & 0xFF]) + bytes([0x58]) + frame[start + width :]
    if compressor == "gzip":
        return gzip.compress(zeros.tobytes(), 1)
    options = {"preset": 0} if compressor == "lzma" else {}
    return bytes(numcodecs.get_codec({"id": compressor, **options}).encode(zeros))


@pytest.mark.parametrize("compressor", ["zstd", "zstd stream", "gzip", "zlib", "bz2", "lzma", "lz4", "blosc"])
def test_chunks_that_become_too_much_are_not_decoded(v2, compressor, monkeypatch):
    """A chunk of a few kilobytes that would become 64 megabytes."""
    monkeypatch.setattr(codecs, "UNCOUNTED", 1 << 20)
    edit(v2, "data/state", compressor={"id": compressor.split()[0]})
    (v2 / "data" / "state" / "0.0").write_bytes(bomb(compressor, 1 << 26))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r"chunk data/state/0\.0 is damaged"):
        DemoStore.open(v2).read("state")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kilobytes

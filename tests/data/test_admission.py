"""Stores from strangers: only admitted codecs are made, nothing outside is read, nothing too large is tried."""

import gzip
import json
import os
import resource
import shutil
import warnings
import zipfile
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import zarr
from numcodecs.abc import Codec
from numcodecs.registry import codec_registry
from numcodecs.zstd import Zstd

from robolearn.commands.main import main
from robolearn.data import codecs
from robolearn.data.store import DemoStore
from robolearn.data.windows import Windows
from robolearn.data.writer import DemoWriter
from robolearn.doctor.examine import examine
from robolearn.types import Episode
from tests.data.episodes import make_episode
from tests.data.test_store import ATTRS, write_diffusion_policy

ARRAYS = {
    "state": np.arange(46, dtype=np.float32).reshape(23, 2),
    "action": np.ones((23, 2), np.float32),
    "episode_ends": np.array([10, 23]),
}


@pytest.fixture(params=[2, 3])
def path(tmp_path, request):
    return write_diffusion_policy(tmp_path / "dp.zarr", request.param, **ARRAYS)


@pytest.fixture
def v2(tmp_path):
    return write_diffusion_policy(tmp_path / "v2.zarr", 2, **ARRAYS)


@pytest.fixture
def v3(tmp_path):
    return write_diffusion_policy(tmp_path / "v3.zarr", 3, **ARRAYS)


def document(path, name):
    """The file that describes an array."""
    return path / name / (".zarray" if (path / ".zgroup").exists() else "zarr.json")


def edit(path, name, **changes):
    file = document(path, name)
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def add_array(path, name, **changes):
    """Another array beside those that are asked for, a copy of data/state."""
    shutil.copytree(path / "data" / "state", path / name)
    edit(path, name, **changes)


def inspected(path, capsys):
    """Exit status and output of `inspect`."""
    with pytest.raises(SystemExit) as ended:
        main(["inspect", str(path)])
    return ended.value.code, "".join(capsys.readouterr())


def train_on(path, keys=("state",)):
    return Windows.from_store(DemoStore.open(path), keys, 2, 4)


@pytest.fixture
def marker(tmp_path):
    """A codec that leaves a file when it is made and when it decodes."""
    left = tmp_path / "marker"

    class Marker(Codec):
        codec_id = "marker"

        def __init__(self):
            left.write_text("made")

        def encode(self, buf):
            return buf

        def decode(self, buf, out=None):
            left.write_text("decoded")
            return buf

    numcodecs.register_codec(Marker)
    yield left
    del codec_registry["marker"]


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


WRONG = {
    "huge": {"shape": [1 << 50, 2]},
    "many bytes": {"shape": [1 << 33, 2]},
    "negative": {"shape": [-1, 2]},
    "fraction": {"shape": [2.5, 2]},
    "no list": {"shape": 5},
    "truth": {"shape": [True, 2]},
    "no shape": {"shape": None},
}
WRONG_V2 = {
    "chunk 0": {"chunks": [0, 2]},
    "huge chunk": {"chunks": [1 << 40, 2]},
    "tiny chunks": {"shape": [1 << 30, 2], "chunks": [1, 1]},
    "axes": {"chunks": [5]},
    "objects": {"dtype": "|O"},
    "text": {"dtype": "<U8"},
    "bytes": {"dtype": "|S8"},
    "complex": {"dtype": "<c8"},
    "dates": {"dtype": "<M8[ns]"},
    "records": {"dtype": [["a", "<f4"]]},
    "packed records": {"dtype": "f4,i4"},
    "no type": {"dtype": 4},
    "long": {"dtype": "<f16"},
    "order": {"order": "X"},
    "separator": {"dimension_separator": "../"},
    "filters": {"filters": 3},
    "codec in a codec": {"compressor": {"id": "zstd", "level": {"id": "pickle"}}},
    "compressor as a filter": {"filters": [{"id": "zstd"}]},
    "objects behind a filter": {"filters": [{"id": "delta", "dtype": "|O"}]},
}
WRONG_V3 = {
    "chunk 0": {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [0, 2]}}},
    "grid": {"chunk_grid": {"name": "rectangular"}},
    "no codecs": {"codecs": []},
    "text": {"data_type": "string"},
    "complex": {"data_type": "complex64"},
    "named": {"data_type": {"name": "fixed_length_utf32", "configuration": {"length_bytes": 32}}},
    "transformers": {"storage_transformers": [{"name": "x"}]},
    "twice": {"codecs": [{"name": "bytes"}, {"name": "gzip"}, {"name": "gzip"}]},
    "fill": {"fill_value": "abc"},
    "understand": {"mystery": {"must_understand": True}},
}


@pytest.mark.parametrize(
    "format_and_what", [(2, w) for w in (*WRONG, *WRONG_V2)] + [(3, w) for w in (*WRONG, *WRONG_V3)]
)
@pytest.mark.parametrize("asked", [True, False])
def test_wrong_metadata_are_named_in_one_line(tmp_path, capsys, format_and_what, asked):
    zarr_format, what = format_and_what
    path = write_diffusion_policy(tmp_path / "dp.zarr", zarr_format, **ARRAYS)
    change = {**WRONG, **(WRONG_V2 if zarr_format == 2 else WRONG_V3)}[what]
    if asked:
        edit(path, "data/action", **change)
        with pytest.raises(ValueError, match="data/action") as caught:
            train_on(path)
        assert "\n" not in str(caught.value)
        assert inspected(path, capsys)[0] == 1
    else:
        add_array(path, "data/other", **change)
        train_on(path)
        status, text = inspected(path, capsys)
        assert status == 0
        assert "data/other" in text


def test_deep_documents(path, capsys):
    deep = "[" * 100_000 + "]" * 100_000
    file = document(path, "data/state")
    file.write_text(file.read_text()[:-1] + ', "attributes": ' + deep + "}")
    assert "data/state: " in inspected(path, capsys)[1]
    root = path / (".zattrs" if file.name == ".zarray" else "zarr.json")
    root.write_text('{"a": ' + deep + "}")
    status, text = inspected(path, capsys)
    assert status == 2
    assert "nested too deep" in text


@pytest.mark.parametrize("what", ["group", "scalar", "text", "nothing", "array in place of the group"])
def test_what_lies_where_arrays_should(path, capsys, what):
    zarr_format = 2 if (path / ".zgroup").exists() else 3
    group = zarr.open_group(path, mode="r+", zarr_format=zarr_format)
    if what == "group":
        group.create_group("data/other/deep")
    elif what == "scalar":
        group["meta"].create_array("other", data=np.array(3.0))
        group["data"].create_array("other", data=np.array(3.0))
    elif what == "text":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zarr 3 has no specification of text
            group["meta"].create_array("other", data=np.array(["a", "b"]))
    elif what == "nothing":
        (path / "data" / "other").mkdir()
    else:
        shutil.rmtree(path / "meta")
        group.create_array("meta", data=np.zeros(3))
    status, text = inspected(path, capsys)
    assert status == (1 if what == "array in place of the group" else 0)
    assert "Traceback" not in text
    if status == 0:
        train_on(path)


def test_links_that_lead_out(v2, tmp_path, capsys):
    secret = tmp_path / "secret"
    shutil.copytree(v2 / "data" / "state", secret)
    for member, target in (("data/state", secret), ("data/state/0.0", secret / "0.0"), ("data/state/.zarray", secret)):
        kept = tmp_path / "kept"
        shutil.copytree(v2, kept)
        shutil.rmtree(kept / member) if (kept / member).is_dir() else (kept / member).unlink()
        (kept / member).symlink_to(target if target.exists() else secret)
        with pytest.raises(ValueError, match=r"link out of the store|no key"):
            train_on(kept)
        inspected(kept, capsys)
        shutil.rmtree(kept)
    (tmp_path / "link.zarr").symlink_to(v2)  # the store itself may be one
    train_on(tmp_path / "link.zarr")
    (v2 / "data" / "state" / "0.0").rename(v2 / "data" / "state" / "elsewhere")
    (v2 / "data" / "state" / "0.0").symlink_to("elsewhere")  # and so may what stays inside
    train_on(v2)


def test_a_pipe_is_not_waited_for(v2):
    (v2 / "data" / "state" / "0.0").unlink()
    os.mkfifo(v2 / "data" / "state" / "0.0")
    with pytest.raises(ValueError, match=r"data/state/0\.0 is no plain file"):
        train_on(v2)


def zipped(path, change=lambda info, content: [(info, content)]):
    """A zip of a store, each entry as `change` has it."""
    target = path.with_suffix(".zip")
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(f for f in path.rglob("*") if f.is_file()):
            for info, content in change(zipfile.ZipInfo(file.relative_to(path).as_posix()), file.read_bytes()):
                archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return target


@pytest.mark.parametrize("name", ["../out", "/abs", "data/../../x", "..\\out"])
def test_zip_entries_outside(v2, name):
    target = zipped(v2)
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr(zipfile.ZipInfo(name), b"x")
    with pytest.raises(ValueError, match="lies outside of the zip"):
        DemoStore.open(target)


def test_encrypted_and_cut_zips(v2, capsys):
    target = zipped(v2)
    content = bytearray(target.read_bytes())
    for head, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flag of every entry, in both of its places
        begin = content.find(head)
        while begin >= 0:
            content[begin + at] |= 1
            begin = content.find(head, begin + 4)
    target.write_bytes(content)
    assert inspected(target, capsys) == (2, f"error: {target}: the zip is encrypted\n")
    whole = zipped(v2).read_bytes()
    for cut in (10, len(whole) // 2, len(whole) - 5):
        target.write_bytes(whole[:cut])
        status, text = inspected(target, capsys)
        assert status == 2
        assert "neither a zarr directory nor a zip" in text


def test_zip_bombs(v2, capsys):
    """An entry that says it is large is not unpacked."""
    target = zipped(
        v2, lambda i, c: [(i, bytes(1 << 28) if i.filename in ("data/state/0.0", "data/other/.zarray") else c)]
    )
    with pytest.raises(ValueError, match=r"data/state/0\.0 has 268435456 bytes"):
        train_on(target)
    assert inspected(target, capsys)[0] == 1


def test_chunks_of_the_fill_value_may_be_absent(tmp_path, caplog):
    """As zarr 3 writes them by default; in a store of this toolkit they are damage."""
    rows = np.ones((23, 2), np.float32)
    rows[5:15] = 7
    for zarr_format in (2, 3):
        path = write_diffusion_policy(tmp_path / f"{zarr_format}.zarr", zarr_format, **ARRAYS)
        group = zarr.open_group(path / "data", mode="r+", zarr_format=zarr_format)
        group.create_array("state", data=rows, chunks=(5, 2), fill_value=7, overwrite=True)
        group.create_array("rest", data=rows * 0, chunks=(5, 2), overwrite=True)
        np.testing.assert_array_equal(DemoStore.open(path).read("state"), rows)
        np.testing.assert_array_equal(DemoStore.open(path).read("rest"), rows * 0)
        assert "data/state: 2 chunks are absent" in " ".join(examine(DemoStore.open(path)).notes)
        caplog.clear()
        train_on(path)
        assert "data/state: 2 chunks are absent" in caplog.text
    path = write_diffusion_policy(tmp_path / "null.zarr", 2, **ARRAYS)
    edit(path, "data/state", fill_value=None)
    (path / "data" / "state" / "1.0").unlink()
    with pytest.raises(ValueError, match=r"chunk data/state/1.0 is missing"):
        train_on(path)


def test_what_claims_to_be_large_has_files_to_show_for_it(v3):
    grid = {"name": "regular", "configuration": {"chunk_shape": [1 << 20, 2]}}
    edit(v3, "data/action", shape=[1 << 30, 2], chunk_grid=grid)
    with pytest.raises(ValueError, match="claims to be 8589934592 bytes, its files have"):
        DemoStore.open(v3)


def test_flipped_bits_in_episode_ends(tmp_path, capsys):
    """Every bit of the file: found, or of no effect."""
    path = tmp_path / "x.zarr"
    DemoWriter.create(path, attrs=ATTRS).extend([make_episode(i) for i in range(4)])
    right = DemoStore.open(path).episode_ends
    file = path / "meta" / "episode_ends" / "c" / "0"
    content, num_detected = file.read_bytes(), 0
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        store = DemoStore.open_unchecked(path)
        if list(store.problems()):
            num_detected += 1
        else:
            np.testing.assert_array_equal(store.episode_ends, right)
    assert num_detected > 0.95 * 8 * len(content)


def test_stores_from_before_the_checksum_open_and_grow(tmp_path):
    path = tmp_path / "x.zarr"
    DemoWriter.create(path, attrs=ATTRS).extend([make_episode(i) for i in range(3)])
    ends = DemoStore.open(path).episode_ends
    zarr.open_group(path, mode="r+")["meta"].create_array("episode_ends", data=ends, chunks=(4096,), overwrite=True)
    DemoWriter.append_to(path).append(make_episode(3))
    assert DemoStore.open(path).num_episodes == 4


def test_names_do_not_move_the_terminal(v2, capsys):
    add_array(v2, "data/\x1b[2Jevil[red]", dtype="|O")
    text = inspected(v2, capsys)[1]
    assert "\x1b" not in text
    assert "\\x1b[2Jevil[red]" in text


def test_chunks_of_a_hundred_images_are_read_up_to_720p(tmp_path):
    """As our stores once were; what is larger says what to do, and that can be done."""
    path = tmp_path / "x.zarr"
    images = np.zeros((3, 72, 128, 3), np.uint8)
    images[1] = 7
    DemoWriter.create(path, attrs=ATTRS).append(Episode({"state": images}, np.zeros((3, 2), np.float32)))
    before = DemoStore.open(path).content_hash()
    grid = {"name": "regular", "configuration": {"chunk_shape": [100 * 100, 72, 128, 3]}}
    whole = document(path, "data/state").read_text()
    edit(path, "data/state", chunk_grid=grid)  # as many numbers as 100 images of 1280 x 720
    assert DemoStore.open(path).shapes["state"] == (72, 128, 3)
    grid["configuration"]["chunk_shape"][0] = 225 * 100  # of 1920 x 1080
    edit(path, "data/state", chunk_grid=grid)
    with pytest.raises(ValueError, match=r"claims 622080000 bytes per chunk .* write it again .* docs/format\.md"):
        DemoStore.open(path)
    document(path, "data/state").write_text(whole)
    guide = (Path(__file__).parents[2] / "docs" / "format.md").read_text()
    code = guide.split("## Chunks that are too large")[1].split("```python\n")[1].split("```")[0]
    code = code.replace("datasets/mine.zarr/data/state", str(path / "data" / "state"))
    exec(code.replace("datasets/state.new", str(tmp_path / "new")), {})
    assert DemoStore.open(path).content_hash() == before
    assert json.loads(document(path, "data/state").read_text())["chunk_grid"]["configuration"]["chunk_shape"][0] == 10

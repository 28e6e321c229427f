"""Stores from strangers: what describes their arrays is checked before anything is read."""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import zarr

from robolearn.data.store import DemoStore
from robolearn.data.writer import DemoWriter
from robolearn.doctor.examine import examine
from robolearn.types import Episode
from tests.data.admission.stores import ARRAYS, add_array, document, edit, inspected, train_on
from tests.data.test_store import ATTRS, write_diffusion_policy

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
    guide = (Path(__file__).parents[3] / "docs" / "format.md").read_text()
    code = guide.split("## Chunks that are too large")[1].split("```python\n")[1].split("```")[0]
    code = code.replace("datasets/mine.zarr/data/state", str(path / "data" / "state"))
    exec(code.replace("datasets/state.new", str(tmp_path / "new")), {})
    assert DemoStore.open(path).content_hash() == before
    assert json.loads(document(path, "data/state").read_text())["chunk_grid"]["configuration"]["chunk_shape"][0] == 10

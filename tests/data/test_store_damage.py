"""Damaged input: one line that names the file, key, episode and index."""

import json
import shutil

import numpy as np
import pytest
import zarr
from numcodecs import Blosc

from robolearn.data.attrs import StoreAttrs
from robolearn.data.store import DemoStore
from robolearn.data.windows import Windows
from robolearn.data.writer import DemoWriter
from robolearn.types import Episode
from tests.data.episodes import make_episode
from tests.data.test_store import ATTRS, write_diffusion_policy


@pytest.fixture
def path(tmp_path):
    """A store of this toolkit with 5 episodes of 3 .. 7 steps."""
    store = DemoWriter.create(tmp_path / "x.zarr", attrs=StoreAttrs(obs_keys=("state",)))
    store.extend([make_episode(i) for i in range(5)])
    return store.path


def refused(path, *parts):
    """The error of training on `path`: one line with the store's name and all parts."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the parts are the match)
        Windows.from_store(DemoStore.open(path), ("state",), 2, 4)
    line = str(caught.value)
    assert "\n" not in line
    for part in (str(path), *parts):
        assert part in line
    return line


def rewrite(path, name, array):
    zarr.open_group(path, mode="r+").create_array(name, data=array, overwrite=True)


def test_no_store(tmp_path):
    refused(tmp_path / "absent.zarr", "no such file")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "not a zarr store")
    for name, content in (("file", b"hello"), ("x.zip", b"PK\x03\x04 broken")):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, "neither a zarr directory nor a zip")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "zarr.json").write_text("{ not json")
    refused(tmp_path / "d", "damaged zarr metadata")


@pytest.mark.parametrize("name", ["data/action", "data/state", "meta/episode_ends", "data", "meta"])
def test_missing_part(path, name):
    shutil.rmtree(path / name)
    missing = {"data": "data/action", "meta": "meta/episode_ends"}.get(name, name)
    refused(path, missing, "is missing")


@pytest.mark.parametrize("name", ["meta/episode_ends", "data/state", "data/action"])
def test_a_flipped_bit_in_a_shape_leaves_nothing_out_silently(path, name):
    """No chunk's checksum covers a shape: 5 ends may become 4 or 1, and 4 numbers of a step 0."""
    content, document = DemoStore.open(path).content_hash(), path / name / "zarr.json"
    whole = document.read_bytes()
    begin = whole.index(b"[", whole.index(b'"shape"'))
    noticed = 0
    for at in range(begin, whole.index(b"]", begin) + 1):
        for bit in range(8):
            document.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << bit)]) + whole[at + 1 :])
            try:
                assert DemoStore.open(path).content_hash() == content
            except ValueError:
                noticed += 1
    assert noticed


@pytest.mark.parametrize("count", [1, 4, 6, 4096])
def test_a_wrong_number_of_episodes_is_noticed(path, count):
    document = path / "meta" / "episode_ends" / "zarr.json"
    content = json.loads(document.read_text())
    document.write_text(json.dumps({**content, "shape": [count]}))
    refused(path, f"meta/episode_ends is damaged: {count} ends are not those")
    with pytest.raises(ValueError, match="only an intact store can be appended to"):
        DemoWriter.append_to(path)


def test_a_store_without_the_checksum_opens_and_gets_one(path):
    document = path / "meta" / "episode_ends" / "zarr.json"
    content = json.loads(document.read_text())
    document.write_text(json.dumps({**content, "attributes": {}}))  # as it was written before
    assert DemoStore.open(path).num_episodes == 5
    DemoWriter.append_to(path).append(make_episode(5))
    assert DemoStore.open(path).num_episodes == 6
    document.write_text(document.read_text().replace("6", "4", 1))
    refused(path, "meta/episode_ends is damaged")


@pytest.mark.parametrize(
    ("ends", "message"),
    [
        (np.zeros(0, int), "zero episodes"),
        (np.array([3, 7, 7, 25]), "episode 2 has no steps (from 7 to 7)"),
        (np.array([3, 7, 5, 25]), "episode 2 ends before it starts (from 7 to 5)"),
        (np.array([0, 25]), "episode 0 has no steps"),
        (np.array([3, 26]), "has 25 rows but the last of 2 episodes ends at 26"),
        (np.array([[3, 25]]), "expected [e] integers"),
        (np.array([3.0, 25.0]), "expected [e] integers"),
    ],
)
def test_wrong_ends(path, ends, message):
    rewrite(path, "meta/episode_ends", ends)
    refused(path, message)


def test_foreign_rows_beyond_the_last_end(tmp_path):
    arrays = {"state": np.zeros((9, 2)), "action": np.zeros((9, 2)), "episode_ends": np.array([4, 8])}
    path = write_diffusion_policy(tmp_path / "dp.zarr", 2, **arrays)
    refused(path, "data/action has 9 rows but the last of 2 episodes ends at 8")


def test_wrong_rank(path):
    rewrite(path, "data/action", np.zeros(25))
    refused(path, "data/action has shape (25,), expected [time, a]")


def test_wrong_rank_of_an_observation(path):
    rewrite(path, "data/state", np.zeros(25))
    refused(path, "data/state has shape (25,)")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 1, 1), "less than 2 pixels a side; store numbers as [time, d]"),
        ((1, 9, 3), "less than 2 pixels a side; store numbers as [time, d]"),
        ((2, 12, 16), "an image [h, w, c] or [c, h, w] has 1, 3 or 4 channels"),
        ((3, 7, 9), "an image [h, w, c] or [c, h, w] has 1, 3 or 4 channels"),
        ((2, 8, 8, 3), "several images of a step have a key each"),
    ],
)
def test_shapes_that_are_meant_otherwise(path, tmp_path, shape, message):
    """They would be flattened to hundreds of numbers, or a column be taken for a picture."""
    rewrite(path, "data/state", np.zeros((25, *shape), np.float32))
    refused(path, f"data/state has steps of shape {shape}", message)
    assert any(message in problem for problem in DemoStore.open_unchecked(path).problems())
    with pytest.raises(ValueError, match="data/cam has steps of shape"):
        DemoWriter.create(tmp_path / "w.zarr", attrs=StoreAttrs()).append(
            Episode({"cam": np.zeros((4, *shape), np.uint8)}, np.zeros((4, 2), np.float32))
        )


@pytest.mark.parametrize(
    ("shape", "seen"),
    [
        *(((2, 2, 1),) * 2, ((3, 4, 4),) * 2, ((2, 3, 3),) * 2, ((9, 2),) * 2, ((32, 31),) * 2),
        ((3, 8, 9), (8, 9, 3)),
        ((1, 8, 8), (8, 8, 1)),
        ((32, 40), (32, 40, 1)),
    ],
)
def test_shapes_that_may_be_meant(path, shape, seen):
    rewrite(path, "data/state", np.ones((25, *shape), np.float32))
    assert Windows.from_store(DemoStore.open(path), ("state",), 2, 4).obs_shapes == {"state": seen}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("key", ["state", "action"])
def test_not_finite(path, key, value):
    rows = DemoStore.open(path).read(key)
    rows[8, 1] = value  # episodes end at 3, 7, 12
    rewrite(path, f"data/{key}", rows)
    refused(path, f"data/{key}: {value} in episode 2, step 1, dim 1 (row 8)")


def test_unknown_schema_version(path):
    zarr.open_group(path, mode="r+").attrs["schema_version"] = 99
    refused(path, "unknown schema version 99 (known: 1, 2)")


def test_arguments_that_no_configuration_holds(path):
    zarr.open_group(path, mode="r+").attrs["env_kwargs"] = {"size": 3, "goal": [1, float("nan")]}
    refused(path, "env_kwargs: goal: expected a number, a truth value, text, null, or lists and objects of these")


def test_missing_key_lists_the_choices(path):
    with pytest.raises(ValueError, match=r"no key 'stat' \(there are: action, img, state\)"):
        Windows.from_store(DemoStore.open(path), ("stat",), 2, 4)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("damage", ["missing", "empty", "half", "last byte", "garbage"])
def test_damaged_chunk(tmp_path, caplog, zarr_format, damage):
    rng = np.random.default_rng(0)
    arrays = {"state": rng.random((23, 5)), "action": rng.random((23, 2)), "episode_ends": np.array([10, 23])}
    root = zarr.open_group(tmp_path / "dp.zarr", mode="w", zarr_format=zarr_format)
    compressor = Blosc("zstd", 5, Blosc.BITSHUFFLE) if zarr_format == 2 else "auto"
    for name, array in arrays.items():
        folder = "meta" if name == "episode_ends" else "data"
        chunks = (min(5, len(array)), *array.shape[1:])
        root.create_array(f"{folder}/{name}", data=array, chunks=chunks, compressors=compressor)
    chunk = {2: "data/state/2.0", 3: "data/state/c/2/0"}[zarr_format]
    file = tmp_path / "dp.zarr" / chunk
    content = file.read_bytes()
    keep = {
        "empty": b"",
        "half": content[: len(content) // 2],
        "last byte": content[:-1],
        "garbage": b"x" * 40,
    }
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(keep[damage])
    if damage == "missing":  # zarr leaves out chunks of the fill value, so it may be one of those
        with caplog.at_level("WARNING"):
            Windows.from_store(DemoStore.open(tmp_path / "dp.zarr"), ("state",), 2, 4)
        assert "data/state: 1 chunks are absent" in caplog.text
    else:
        refused(tmp_path / "dp.zarr", chunk)


def test_flipped_bit_in_our_chunks(path):
    """Blosc chunks of others carry no checksum; ours do."""
    file = path / "data" / "state" / "c" / "0" / "0"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    refused(path, "data/state/c/0/0", "damaged")


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
        assert str(path) in repr(store)
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

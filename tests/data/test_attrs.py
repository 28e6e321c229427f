"""A store's attributes and arrays that cannot be meant are refused by name, by reader and writer."""

import json

import numpy as np
import pytest

from robolearn.data.attrs import StoreAttrs
from robolearn.data.store import DemoStore
from robolearn.data.windows import Windows
from robolearn.data.writer import DemoWriter
from robolearn.types import Episode

DT = [-1, 0, float("inf"), float("nan"), [0.1], "0.1", True]
ACTIONS = np.zeros((4, 2), np.float32)


@pytest.mark.parametrize("value", [float(value) for value in DT[:4]])  # types are checked while tests run
def test_a_control_step_that_cannot_be_is_not_written(tmp_path, value):
    with pytest.raises(ValueError, match="control_dt is"):
        DemoWriter.create(tmp_path / "x.zarr", attrs=StoreAttrs(control_dt=value))
    assert not (tmp_path / "x.zarr").exists()


@pytest.mark.parametrize("value", DT)
def test_a_control_step_that_cannot_be_is_not_read(tmp_path, value):
    store = DemoWriter.create(tmp_path / "y.zarr", attrs=StoreAttrs(control_dt=0.1))
    store.append(Episode({"state": ACTIONS}, ACTIONS))
    root = store.path / "zarr.json"
    content = json.loads(root.read_text())
    content["attributes"]["control_dt"] = value
    root.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="control_dt") as caught:
        DemoStore.open(store.path)
    assert str(store.path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_store_that_observes_nothing_is_neither_written_nor_read(tmp_path):
    with pytest.raises(ValueError, match="obs_keys is empty"):
        StoreAttrs(obs_keys=())
    with pytest.raises(ValueError, match="obs_keys names a key twice: state, state"):
        StoreAttrs(obs_keys=("state", "state"))
    store = DemoWriter.create(tmp_path / "y.zarr", attrs=StoreAttrs(obs_keys=("state",)))
    store.append(Episode({"state": ACTIONS}, ACTIONS))
    root = store.path / "zarr.json"
    content = json.loads(root.read_text())
    content["attributes"]["obs_keys"] = []
    root.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="obs_keys is empty"):
        DemoStore.open(store.path)


@pytest.mark.parametrize("key", ["state", "action"])
@pytest.mark.parametrize("dtype", ["complex64", "complex128", "U4", "S4", "O"])
def test_the_writer_takes_numbers_only(tmp_path, key, dtype):
    arrays = {"state": ACTIONS, "action": ACTIONS, key: ACTIONS.astype(dtype)}
    store = DemoWriter.create(tmp_path / "x.zarr", attrs=StoreAttrs())
    with pytest.raises(ValueError, match=f"episode 0: data/{key}: has type"):
        store.append(Episode({"state": arrays["state"]}, arrays["action"]))
    assert store.num_episodes == 0


@pytest.mark.parametrize("key", ["state", "action"])
@pytest.mark.parametrize(
    ("number", "message"),
    [
        (np.float64(1e39), "does not fit into float32"),
        (np.float64(-1e300), "does not fit into float32"),
        (np.int64((1 << 24) + 1), "would be rounded"),
        (np.int64(-(1 << 62) - 1), "would be rounded"),
        (np.uint64((1 << 64) - 1), "would be rounded"),
    ],
)
def test_numbers_that_float32_cannot_hold_are_named(tmp_path, key, number, message):
    rows = np.zeros((4, 2), number.dtype)
    rows[2, 1] = number
    arrays = {"state": ACTIONS, "action": ACTIONS, key: rows}
    store = DemoWriter.create(tmp_path / "x.zarr", attrs=StoreAttrs(obs_keys=("state",)))
    store.append(Episode({"state": arrays["state"]}, arrays["action"]))
    with pytest.raises(ValueError, match=rf"data/{key}: .* in episode 0, step 2, dim 1 .*{message}"):
        Windows.from_store(DemoStore.open(store.path), ("state",), 1, 2)

"""What keys may be called: every name that can be printed works in modules and stores, others are one line."""

import numpy as np
import pytest
import torch
import zarr
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch import nn

from robolearn.data.attrs import StoreAttrs
from robolearn.data.keys import TAKEN, file_problem, key_problem, module_name, store_key
from robolearn.data.normalizer import Normalizer
from robolearn.data.store import DemoStore
from robolearn.data.windows import Windows
from robolearn.data.writer import DemoWriter
from robolearn.errors import UserError
from robolearn.nets.weights import build_with_weights, save_weights
from robolearn.types import Episode

ODD = (
    *("observation.state", ".", "..", "a.b.c", "x", "x_centre", "x_scale", "x.y", "x y", " ", "日本語.état", "🤖"),
    *("training", "forward", "weight", "bias", "keys", "_buffers", "class", "None", "__init__", "state_dict", "0"),
    *('"', "'", "%2e", "[red]", "{x}", "*", "?", "~", "-x", "--out", "name.partial", "n" * 200),
)
NAMES = st.text(st.characters(exclude_categories=("C", "Z")) | st.sampled_from(" ._/-"), min_size=1, max_size=12)
KEYS = st.lists(NAMES | st.sampled_from(ODD), min_size=1, max_size=8, unique=True)


@given(keys=KEYS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_normalizer_keeps_what_it_knows_of_every_name(keys, tmp_path):
    rows = {key: torch.randn(5, 2) + i for i, key in enumerate([*keys, "action"])}
    fitted = Normalizer.fit(rows)
    save_weights(fitted, tmp_path / "n.safetensors")
    again = build_with_weights(
        lambda: Normalizer(dict.fromkeys(rows, (2,))), tmp_path / "n.safetensors", foreign="of others"
    )
    for key, values in rows.items():
        assert again.normalize(key, values).abs().amax() == pytest.approx(1, abs=1e-5)
        assert torch.equal(again.normalize(key, values), fitted.normalize(key, values))


@given(keys=KEYS)
@example(keys=["x.y", "x y", "x_y", "xy", "x%2ey"])
def test_no_two_keys_share_a_name_in_a_module(keys):
    module = nn.Module()
    for key in keys:
        module.register_buffer(f"{module_name(key)}_centre", torch.zeros(1))
    assert len(module.state_dict()) == len(set(keys))


def test_weights_of_before_are_found():
    assert set(Normalizer({"state": (2,), "a b%": (1,)}).state_dict()) == {
        *("state_centre", "state_scale", "a b%_centre", "a b%_scale")
    }


@given(keys=KEYS)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_store_keeps_every_name_or_refuses_it(keys, tmp_path_factory):
    keys = [key for key in keys if key != "action"]
    fine = [key for key in keys if file_problem(key) is None]
    rows = {key: np.full((3, 2), i, np.float32) for i, key in enumerate(fine)}
    attrs = StoreAttrs(obs_keys=tuple(fine) or None)
    with DemoWriter.create(tmp_path_factory.mktemp("s") / "s.zarr", attrs=attrs) as writer:
        writer.append(Episode(obs=rows, actions=np.zeros((3, 1), np.float32)))
        for key in set(keys) - set(fine):
            with pytest.raises(UserError, match="key"):
                writer.append(Episode(obs={key: np.zeros((3, 2))}, actions=np.zeros((3, 1), np.float32)))
    DemoWriter.append_to(writer.path)
    store = DemoStore.open(writer.path)
    assert (set(store.keys), list(store.faults())) == ({*fine, "action"}, [])
    windows = Windows.from_store(store, fine, 1, 2) if fine else None
    for i, key in enumerate(fine):
        assert (store.read(key) == i).all()
        assert (windows.batch(torch.tensor([1])).obs[key] == i).all()


@given(st.text() | st.text("./\\_z\0", max_size=4) | st.text(min_size=200) | st.sampled_from(ODD + TAKEN))
@example("n" * 300)
@example("語" * 90)
@example("__init__")
def test_a_store_has_a_key_for_every_foreign_name(name):
    key = store_key(name)
    assert file_problem(key) is None
    assert not key.startswith("__")
    assert key == name or file_problem(name) or name.startswith("__")


@pytest.mark.parametrize("key", ["", "a\x00", "a\nb", "\x1f", "\x7f", "\u202ex", "\ue000", "\ud800"])
def test_what_cannot_be_printed_is_no_key(key, tmp_path):
    assert str(key_problem(key)).isprintable()
    with pytest.raises(UserError, match="key"):
        Normalizer({key: (2,)})
    with pytest.raises(UserError, match="key"):
        StoreAttrs(obs_keys=(key,))
    writer = DemoWriter.create(tmp_path / "s.zarr", attrs=StoreAttrs())
    for episode in ({"obs": {key: np.zeros((3, 2))}}, {"obs": {}, "attrs": {key: 1}}):
        with pytest.raises(UserError, match="key"):
            writer.append(Episode(actions=np.zeros((3, 1)), **episode))
    assert DemoStore.open_unchecked(writer.path).keys == ()


@pytest.mark.parametrize("key", ["a/b", "/", "a\\b", "zarr.json", ".", "...", "n" * 300, "語" * 90])
def test_what_is_no_name_of_a_file_is_refused_by_the_writer(key, tmp_path):
    writer = DemoWriter.create(tmp_path / "s.zarr", attrs=StoreAttrs())
    with pytest.raises(UserError, match="key") as caught:
        writer.append(Episode(obs={key: np.zeros((3, 2))}, actions=np.zeros((3, 1))))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(("obs", "attrs"), [({"action": np.zeros((3, 1))}, {}), ({}, {"episode_ends": 1})])
def test_the_stores_own_arrays_are_not_overwritten(obs, attrs, tmp_path):
    writer = DemoWriter.create(tmp_path / "s.zarr", attrs=StoreAttrs())
    with pytest.raises(UserError, match=r"action among the observations, or episode_ends"):
        writer.append(Episode(obs=obs, actions=np.zeros((3, 1)), attrs=attrs))


def test_keys_that_lie_in_folders_are_named(tmp_path):
    root = zarr.open_group(tmp_path / "s.zarr", mode="w", zarr_format=2)
    root.create_array("data/action", data=np.zeros((3, 2)))
    root.create_array("data/observation/state", data=np.zeros((3, 2)))
    root.create_array("meta/episode_ends", data=np.array([3]))
    store = DemoStore.open(tmp_path / "s.zarr")
    assert [line for line in store.faults() if line.startswith("data/observation: is a group") and "slash" in line]
    with pytest.raises(UserError, match="data/observation: is a group"):
        store.check_key("observation")


def test_a_policy_does_not_observe_what_it_gives():
    with pytest.raises(UserError, match="action is what a policy gives"):
        Windows({"action": torch.zeros(3, 2)}, torch.zeros(3, 2), [3], 1, 2)

"""A store with translated images, in which all else is as it was."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch

from robolearn.data.store import DemoStore
from robolearn.data.writer import DemoWriter
from robolearn.translation import apply
from robolearn.translation.apply import Translated, translate
from robolearn.translation.config import TranslatorConfig
from robolearn.translation.train import train_translator
from robolearn.translation.translator import Translator
from tests.translation.conftest import SMALL, TINY, write_look

CPU = {"device": "cpu", "threads": 1}


def contents(path):
    store = DemoStore.open(path)
    return store, {key: store.read(key) for key in store.keys}


@pytest.mark.parametrize("to", ["target", "source"])
def test_images_are_translated_and_all_else_is_equal(tmp_path, looks, run, to):
    source = looks[0] if to == "target" else looks[1]
    translate(source, run, tmp_path / "made.zarr", to=to, **CPU)
    (before, old), (after, new) = contents(source), contents(tmp_path / "made.zarr")
    wanted = Translator.load(run).translate({"camera": torch.from_numpy(old["camera"])}, to)["camera"].numpy()
    # Products of other sizes round differently, by less than a level.
    assert np.abs(new.pop("camera").astype(int) - wanted).max() <= 1
    assert not np.array_equal(wanted, old.pop("camera"))
    assert new.keys() == old.keys()
    for key, rows in old.items():
        assert new[key].dtype == rows.dtype
        np.testing.assert_array_equal(new[key], rows)
    np.testing.assert_array_equal(after.episode_ends, before.episode_ends)
    assert after.episode_attrs.keys() == before.episode_attrs.keys()
    for name, values in before.episode_attrs.items():
        np.testing.assert_array_equal(after.episode_attrs[name], values)
    assert dataclasses.replace(after.attrs, source="") == dataclasses.replace(before.attrs, source="")
    assert after.attrs.source.startswith(f"images translated to the {to} of run (weights ")


def test_it_goes_on_where_it_was_stopped(tmp_path, looks, run, monkeypatch):
    monkeypatch.setattr(apply, "STEPS_AT_ONCE", 10)

    def stop(now):
        if now.stored >= 4:
            raise KeyboardInterrupt

    out = tmp_path / "made.zarr"
    with pytest.raises(KeyboardInterrupt):
        translate(looks[0], run, out, **CPU, on_episode=stop)
    assert DemoStore.open(out).num_episodes == 4
    told = []
    translate(looks[0], run, out, **CPU, on_episode=told.append)
    assert told == [Translated(6, before=4), Translated(8, before=4)]
    translate(looks[0], run, tmp_path / "whole.zarr", **CPU)
    assert DemoStore.open(out).content_hash() == DemoStore.open(tmp_path / "whole.zarr").content_hash()


def test_another_translation_is_not_gone_on_with(tmp_path, looks, run):
    translate(looks[0], run, tmp_path / "made.zarr", **CPU)
    with pytest.raises(ValueError, match=r"made.zarr: exists already, translated otherwise; choose another `out`"):
        translate(looks[0], run, tmp_path / "made.zarr", to="source", **CPU)
    other = train_translator(TranslatorConfig(*looks, tmp_path / "run", SMALL, seed=5, **TINY))
    with pytest.raises(ValueError, match="translated otherwise"):
        translate(looks[0], other, tmp_path / "made.zarr", **CPU)


@pytest.mark.parametrize("episodes", [8, 3])
def test_episodes_of_another_store_are_not_gone_on_with(tmp_path, looks, run, monkeypatch, episodes):
    """Of which the attributes say the same; a store that has grown is the same one."""
    monkeypatch.setattr(apply, "STEPS_AT_ONCE", 10)
    translate(looks[0], run, tmp_path / "made.zarr", **CPU)
    stored = DemoStore.open(tmp_path / "made.zarr").num_episodes
    other = write_look(tmp_path / "other.zarr", seed=9, episodes=episodes)
    with pytest.raises(ValueError, match=r"made.zarr: exists already, with episodes of another store"):
        translate(other, run, tmp_path / "made.zarr", **CPU)
    assert DemoStore.open(tmp_path / "made.zarr").num_episodes == stored
    shutil.copytree(looks[0], tmp_path / "grown.zarr")
    DemoWriter.append_to(tmp_path / "grown.zarr").append(DemoStore.open(looks[0]).episode(2))
    translate(tmp_path / "grown.zarr", run, tmp_path / "made.zarr", **CPU)
    assert DemoStore.open(tmp_path / "made.zarr").num_episodes == stored + 1


def test_cameras_that_were_not_learned_stay_as_they_are(tmp_path, run):
    store = write_look(tmp_path / "two.zarr", cameras=("camera", "wrist"))
    made = translate(store, run, tmp_path / "made.zarr", **CPU)
    before = DemoStore.open(store)
    np.testing.assert_array_equal(made.read("wrist"), before.read("wrist"))
    assert not np.array_equal(made.read("camera"), before.read("camera"))


@pytest.mark.parametrize(
    ("store", "message"),
    [
        ({"cameras": ("eye",)}, "has none of the translator's cameras, camera"),
        ({"side": 40}, "images of 'camera' are 40x40x1, the translator was trained on 32x32x1"),
        ({"kind": np.float32}, "data/camera is float32; only images of bytes"),
    ],
)
def test_stores_that_do_not_fit_are_refused(tmp_path, run, store, message):
    with pytest.raises(ValueError, match=message):
        translate(write_look(tmp_path / "other.zarr", **store), run, tmp_path / "made.zarr", **CPU)
    assert not (tmp_path / "made.zarr").exists()


def test_what_is_no_translator_or_damaged_is_refused(tmp_path, looks, run):
    with pytest.raises(ValueError, match=r"is no translator: it has no translator.json"):
        translate(looks[0], looks[1], tmp_path / "made.zarr")
    broken = shutil.copytree(run, tmp_path / "run")
    (broken / "generators.safetensors").write_bytes(b"none")
    with pytest.raises(ValueError, match=r"generators.safetensors: damaged"):
        translate(looks[0], broken, tmp_path / "made.zarr")

"""From two stores to a translator, and on from where it was stopped."""

import dataclasses
import json
import shutil
import signal

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from robolearn.commands.main import main
from robolearn.data.store import DemoStore
from robolearn.data.writer import DemoWriter
from robolearn.files import COMPLETE
from robolearn.nets.weights import load_tensors
from robolearn.translation.config import TranslatorConfig
from robolearn.translation.cut import CutConfig
from robolearn.translation.cyclegan import CycleGANConfig
from robolearn.translation.registry import TRANSLATIONS
from robolearn.translation.train import FILES, STATE_FILE, _Training, split, train_translator
from robolearn.translation.translator import Translator, read_facts
from tests.translation.conftest import SMALL, TINY, write_look


def state(run):
    return load_tensors(run / STATE_FILE)


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", TRANSLATIONS)
def test_a_run_is_complete_and_loads(tmp_path, looks, name):
    records, method = [], TRANSLATIONS[name](networks="dcgan", width=8)
    cfg = TranslatorConfig(*looks, tmp_path / "run", method, **TINY)
    run = train_translator(cfg, records.append)
    assert sorted(path.name for path in run.iterdir()) == sorted(FILES)
    assert [record["step"] for record in records] == [2, 4]
    assert [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] == records
    facts = read_facts(run)
    assert facts.config == cfg
    assert facts.step == 4
    hashes = [DemoStore.open(path).content_hash(["camera"]) for path in looks]
    assert list(facts.content_hashes.values()) == hashes
    assert Translator.load(run).sides == method.arrives_at
    assert imread(run / "pictures.png").std() > 0.1


@pytest.mark.long
def test_it_learns_the_other_look(tmp_path, looks):
    """A bright square on dark becomes a dark one on bright, and back; the mean of an image tells which it is."""
    cfg = TranslatorConfig(
        *looks, tmp_path / "run", CycleGANConfig("dcgan", 8), **(TINY | {"steps": 80, "batch_size": 4, "lr": 2e-3})
    )
    translator = Translator.load(train_translator(cfg))
    means = {}
    for side, path in (("source", looks[0]), ("target", looks[1])):
        images = torch.from_numpy(DemoStore.open(path).read("camera"))
        means[side] = images.float().mean().item()
        other = "target" if side == "source" else "source"
        means[f"to {other}"] = translator.translate({"camera": images}, other)["camera"].float().mean().item()
    apart = abs(means["source"] - means["target"])
    assert abs(means["to target"] - means["target"]) < 0.25 * apart
    assert abs(means["to source"] - means["source"]) < 0.25 * apart


@pytest.mark.long
def test_held_out_episodes_are_not_learned_from(tmp_path, looks):
    """Other images in them change nothing but the picture."""
    cfg = TranslatorConfig(looks[0], looks[1], tmp_path / "one", SMALL, **TINY)
    one = train_translator(cfg)
    store = DemoStore.open(looks[0])
    changed = [store.episode(index) for index in range(store.num_episodes)]
    for index in split(cfg, store)["validation"]:
        changed[index].obs["camera"][:] = 7
    DemoWriter.create(tmp_path / "changed.zarr", attrs=store.attrs).extend(changed)
    other = train_translator(dataclasses.replace(cfg, source=tmp_path / "changed.zarr", out=tmp_path / "other"))
    assert equal(state(one), state(other))
    assert (one / "pictures.png").read_bytes() != (other / "pictures.png").read_bytes()


def test_the_seed_fixes_the_run_and_leaves_the_global_stream_alone(tmp_path, looks):
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    runs = [
        train_translator(TranslatorConfig(*looks, tmp_path / name, SMALL, seed=seed, **TINY))
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    ]
    assert torch.equal(torch.random.get_rng_state(), before)
    one, again, other = map(state, runs)
    assert equal(one, again)
    assert not equal(one, other)


@pytest.mark.long
@pytest.mark.parametrize("method", [SMALL, CutConfig("dcgan", 8)], ids=["cyclegan", "cut"])
def test_it_goes_on_bit_for_bit_where_it_was_stopped(tmp_path, looks, method):
    """The pools are full and changing by then; the rate is falling."""
    cfg = TranslatorConfig(*looks, tmp_path / "whole", method, **(TINY | {"steps": 6}))
    whole = train_translator(cfg)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored in the background

    def stop(record):
        if record["step"] == 4:
            signal.raise_signal(signal.SIGINT)

    parts = dataclasses.replace(cfg, out=tmp_path / "parts")
    train_translator(parts, stop)
    signal.signal(signal.SIGINT, before)
    assert read_facts(tmp_path / "parts").step == 5
    records = []
    train_translator(parts, records.append)
    assert [record["step"] for record in records] == [6]
    assert equal(state(tmp_path / "parts"), state(whole))
    steps = [json.loads(line)["step"] for line in (tmp_path / "parts" / "metrics.jsonl").read_text().splitlines()]
    assert steps == [2, 4, 5, 6]


def test_a_complete_run_is_left_as_it_is(run):
    facts, before = read_facts(run), {path.name: path.stat().st_mtime_ns for path in run.iterdir()}
    records = []
    train_translator(facts.config, records.append)
    assert records == []
    assert {path.name: path.stat().st_mtime_ns for path in run.iterdir()} == before


def test_a_run_that_was_killed_as_its_first_files_took_their_places_goes_on(tmp_path, run):
    killed = tmp_path / "run"
    shutil.copytree(run, killed / COMPLETE)
    (killed / COMPLETE / min(FILES)).rename(killed / min(FILES))  # in the order of their names
    train_translator(dataclasses.replace(read_facts(run).config, out=killed))
    assert sorted(path.name for path in killed.iterdir()) == sorted(path.name for path in run.iterdir())
    assert equal(state(killed), state(run))


def test_the_rate_is_constant_then_falls_to_zero():
    cfg = TranslatorConfig("a", "b", "c", steps=10, lr=1.0, decay=0.4)
    np.testing.assert_allclose([cfg.rate(step) for step in range(11)], [1] * 7 + [0.75, 0.5, 0.25, 0])
    assert dataclasses.replace(cfg, decay=0.0).rate(9) == 1
    assert dataclasses.replace(cfg, decay=1.0).rate(5) == 0.5


def test_another_training_is_refused_unless_it_may_overwrite(tmp_path, looks, run):
    there = shutil.copytree(run, tmp_path / "run")
    cfg = TranslatorConfig(*looks, there, SMALL, **(TINY | {"steps": 2, "threads": 1}))
    with pytest.raises(ValueError, match="`steps` was 4, it is 2 now; choose another `out`, or give `overwrite`"):
        train_translator(cfg)
    train_translator(dataclasses.replace(cfg, overwrite=True))
    assert read_facts(there).step == 2
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="exists and is no translator"):
        train_translator(dataclasses.replace(cfg, out=tmp_path / "else", overwrite=True))


@pytest.mark.long
def test_changed_images_are_noticed(tmp_path, looks):
    store = shutil.copytree(looks[0], tmp_path / "store")
    cfg = TranslatorConfig(store, looks[1], tmp_path / "run", SMALL, **TINY)
    train_translator(cfg)
    shutil.rmtree(store)
    write_look(store, seed=7)
    with pytest.raises(ValueError, match="the images have changed since"):
        train_translator(cfg)


def test_a_state_of_another_training_is_refused(tmp_path, looks, run):
    there = shutil.copytree(run, tmp_path / "run")
    other = train_translator(TranslatorConfig(*looks, tmp_path / "other", CycleGANConfig("dcgan", 16), **TINY))
    shutil.copy(other / STATE_FILE, there / STATE_FILE)
    with pytest.raises(ValueError, match=r"training.safetensors: damaged, or of a training"):
        train_translator(dataclasses.replace(read_facts(run).config, out=there))


def test_a_training_that_diverges_is_one_line(tmp_path, looks):
    with pytest.raises(ValueError, match=r"step 2: a loss is not finite; nothing was saved; a lower `lr` may help"):
        train_translator(TranslatorConfig(*looks, tmp_path / "run", SMALL, **(TINY | {"lr": 1e30})))
    assert not (tmp_path / "run").exists()


def test_what_diverged_is_never_saved(tmp_path, looks):
    """Checkpoints come before records: neither the first one is written, nor is one replaced that was good."""
    cfg = TranslatorConfig(*looks, tmp_path / "run", SMALL, **(TINY | {"log_every": 4, "checkpoint_every": 2}))
    with pytest.raises(ValueError, match="step 2: a weight is not finite; nothing was saved; a lower `lr` may help"):
        train_translator(dataclasses.replace(cfg, lr=1e30))
    assert not (tmp_path / "run").exists()
    train_translator(cfg)
    good = (tmp_path / "run" / STATE_FILE).read_bytes()
    with pytest.raises(ValueError, match=r"a weight is not finite; .*run holds what was saved before"):
        train_translator(dataclasses.replace(cfg, lr=1e30, overwrite=True))
    assert (tmp_path / "run" / STATE_FILE).read_bytes() == good


def test_records_are_nothing_that_was_saved(tmp_path, looks, monkeypatch):
    advance = _Training.advance

    def diverging(self):
        means = advance(self)
        return {**means, "loss": torch.tensor(torch.nan)} if self.state.step == 3 else means

    monkeypatch.setattr(_Training, "advance", diverging)
    with pytest.raises(ValueError, match="step 3: a loss is not finite; nothing was saved"):
        train_translator(TranslatorConfig(*looks, tmp_path / "run", SMALL, **(TINY | {"log_every": 1})))


def test_each_camera_has_generators_by_its_name(tmp_path):
    stores = [
        write_look(tmp_path / name, dark=dark, cameras=("wrist", "left.eye"), channels=3, side=33)
        for name, dark in (("a.zarr", False), ("b.zarr", True))
    ]
    cfg = TranslatorConfig(*stores, tmp_path / "run", SMALL, **(TINY | {"steps": 1}))
    translator = Translator.load(train_translator(cfg))
    assert list(translator.facts.shapes.values()) == [(33, 33, 3)] * 2
    seen = torch.zeros(2, 33, 33, 3, dtype=torch.uint8)
    made = translator.translate({"wrist": seen, "left.eye": seen})
    assert made["wrist"].shape == seen.shape
    assert not torch.equal(made["wrist"], made["left.eye"])
    chosen = train_translator(dataclasses.replace(cfg, out=tmp_path / "one", cameras=("wrist",)))
    assert list(read_facts(chosen).shapes) == ["wrist"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "`steps` 0 must be at least 1"),
        ({"checkpoint_every": 0}, "`checkpoint_every` 0 must be at least 1"),
        ({"validation_fraction": 1.0}, "`validation_fraction` 1 must be in"),
        ({"lr": 0.0}, "`lr` 0 must be above 0"),
        ({"decay": 1.5}, r"`decay` 1.5 must be in \[0, 1\]"),
        ({"seed": -1}, "`seed` -1 must be at least 0"),
        ({"cameras": ("a", "a")}, "`cameras` a a: one is given twice"),
    ],
)
def test_a_wrong_configuration_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        TranslatorConfig("a.zarr", "b.zarr", "run", **change)


@pytest.mark.parametrize(
    ("store", "change", "message"),
    [
        ({"cameras": ("eye",)}, {}, "the stores share no key of images .* has camera; .* has eye"),
        ({"side": 40}, {}, "images of 'camera' differ in size: in .*bright.zarr 32x32x1, in .*other.zarr 40x40x1"),
        ({"kind": np.float32}, {}, "other.zarr: data/camera is float32; only images of bytes"),
        ({"episodes": 1}, {}, "other.zarr: split 'validation': .* choose another `validation_fraction`"),
        ({}, {"cameras": ("state",)}, "`cameras` state: both stores have the images camera"),
    ],
)
def test_stores_that_do_not_fit_are_refused(tmp_path, looks, store, change, message):
    other = write_look(tmp_path / "other.zarr", **store)
    with pytest.raises(ValueError, match=message):
        train_translator(TranslatorConfig(looks[0], other, tmp_path / "run", SMALL, **(TINY | change)))
    assert not (tmp_path / "run").exists()


def test_the_commands(tmp_path, looks, capsys):
    """A method's own options stand beside those of all; what was trained translates a store."""
    out, flags = tmp_path / "run", ["--device", "cpu", "--threads", "1"]
    training = ["--steps", "2", "--validation-fraction", "0.25", "--out", str(out), *flags]
    how = ["--method", "cut", "--networks", "dcgan", "--width", "8", "--places", "9"]
    main(["translator", *map(str, looks), *how, *training])
    said = capsys.readouterr().out
    assert f"trained to step 2: {out}" in said
    assert f"next: robolearn translate {looks[0]} {out} --out translated.zarr" in said
    assert read_facts(out).config.method == CutConfig("dcgan", 8, places=9)
    main(["translate", str(looks[0]), str(out), "--out", str(tmp_path / "made.zarr"), *flags])
    assert "made.zarr: 8 episodes, 47 steps" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(SystemExit):
        main(["translate", str(looks[0]), str(out), "--to", "source", "--out", str(tmp_path / "back.zarr")])
    assert "translates to target alone; train one whose target is this one's source" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["translator", *map(str, looks), "--method", "munit", "--out", str(out)])
    assert "--method munit: choose from cyclegan, cut" in capsys.readouterr().err

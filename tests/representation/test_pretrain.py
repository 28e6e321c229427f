"""From a store to a run, and what is in it."""

import dataclasses
import errno
import json
import os
import shlex
import shutil
import signal
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from robolearn.commands.main import main
from robolearn.data.attrs import StoreAttrs
from robolearn.data.demos import Demos
from robolearn.data.store import DemoStore
from robolearn.data.writer import DemoWriter
from robolearn.files import COMPLETE
from robolearn.nets.pretrained import CameraNets, CamerasConfig, Start, read_start
from robolearn.nets.vision import VisionConfig
from robolearn.nets.weights import save_tensors
from robolearn.representation.config import PretrainConfig
from robolearn.representation.contrastive import ContrastiveConfig
from robolearn.representation.pretrain import STATE_FILE, _Pretraining, camera_shapes, make_state, pretrain, split
from robolearn.representation.probe import linear_probe
from robolearn.representation.registry import METHODS
from robolearn.representation.representation import Representation, read_facts
from robolearn.training.config import DatasetConfig, TrainConfig
from robolearn.training.episodes import choose_episodes
from robolearn.training.run import Run
from robolearn.types import Episode
from tests.representation.conftest import SMALL, squares, write_squares

TINY = {"vision": SMALL, "steps": 4, "batch_size": 8, "log_every": 2, "amp": "off", "device": "cpu", "threads": 1}


@pytest.fixture(scope="module")
def two_cameras(tmp_path_factory):
    """A store with two cameras, and what was learned of it."""
    folder = tmp_path_factory.mktemp("two")
    store = write_squares(folder / "two.zarr", cameras=("wrist", "left.eye"), channels=3)
    return store, pretrain(PretrainConfig(store, out=folder / "run", validation_fraction=0.2, **TINY))


@pytest.mark.parametrize(("within", "refused"), [(4, True), (6, True), (3, False)])
def test_frames_that_are_all_near_have_nothing_to_be_told_from(tmp_path, within, refused):
    """Episodes of five frames: with 4 and more steps no two of them are apart, with 3 the first and the last are."""
    store = write_squares(tmp_path / "short.zarr", lengths=(5,) * 20)
    cfg = PretrainConfig(store, ContrastiveConfig(within=within), out=tmp_path / "run", **TINY)
    if not refused:
        pretrain(cfg)
        return
    with pytest.raises(ValueError, match=r"short.zarr: `within` . takes all frames .* more than 5 steps; choose less"):
        pretrain(cfg)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("within", "too_few"), [(0, 1), (3, 4)])
def test_batches_whose_views_have_nothing_to_be_told_from_are_refused(tmp_path, squares_store, within, too_few):
    """With `within`, batches are from four episodes, of which only frames of the same one are told apart."""
    cfg = PretrainConfig(squares_store, ContrastiveConfig(within=within), out=tmp_path / "run", **TINY)
    with pytest.raises(ValueError, match=f"`batch_size` {too_few} leaves .* give {too_few + 1} or more"):
        pretrain(dataclasses.replace(cfg, batch_size=too_few))
    assert not (tmp_path / "run").exists()
    pretrain(dataclasses.replace(cfg, batch_size=too_few + 1))
    pretrain(dataclasses.replace(cfg, method=METHODS["masked"](), batch_size=1, out=tmp_path / "masked"))


def test_too_few_episodes_to_hold_one_out_are_named(tmp_path):
    store = write_squares(tmp_path / "one.zarr", lengths=(12,))
    with pytest.raises(ValueError, match=r"one.zarr: .* is no episode; choose another `validation_fraction`"):
        pretrain(PretrainConfig(store, out=tmp_path / "run", **TINY))


def weights(run):
    return CameraNets.load(run).state_dict()


def probed(nets, store, parts):
    """How much a linear function of the features tells of where the square is, on held-out episodes."""
    rows = {}
    for name, episodes in parts.items():
        some = [store.episode(int(i)) for i in episodes]
        seen = torch.from_numpy(np.concatenate([episode.obs["camera"] for episode in some]))
        with torch.no_grad():
            features = nets({"camera": seen}).double().numpy()
        rows[name] = features, np.concatenate([episode.obs["state"] for episode in some]).astype(float)
    return linear_probe(rows["train"], rows["validation"]).mean()


@pytest.mark.parametrize(
    ("name", "options"),
    [("autoencoder", {}), ("vae", {}), ("contrastive", {}), ("contrastive", {"within": 2}), ("masked", {})],
)
def test_what_was_learned_tells_more_than_what_was_drawn(tmp_path, squares_store, name, options):
    """Of where the square is, on held-out episodes; and their loss falls. Few features are no chance find."""
    vision, records = dataclasses.replace(SMALL, num_keypoints=2, features=4), []
    cfg = PretrainConfig(
        squares_store,
        METHODS[name](**options),
        **(TINY | {"vision": vision, "steps": 100, "batch_size": 16, "log_every": 100, "lr": 1e-2}),
        out=tmp_path / "run",
        validation_fraction=0.2,
    )
    nets = CameraNets.load(pretrain(cfg, records.append))
    store, parts = DemoStore.open(squares_store), split(cfg, Demos.open(squares_store))
    drawn = make_state(cfg, nets.cfg, Start({}, {}), torch.device("cpu")).representation.cameras.eval()
    assert records[-1]["validation_loss"] < 0.7 * records[0]["validation_loss"]
    assert probed(nets, store, parts) > probed(drawn, store, parts) + 0.2


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_run_is_complete_and_loads(tmp_path, squares_store, method):
    cfg = PretrainConfig(squares_store, method(), out=tmp_path / "run", validation_fraction=0.1, **TINY)
    run = pretrain(cfg)
    assert sorted(path.name for path in run.iterdir()) == [
        *("cameras.json", "cameras.safetensors", "frames.png"),
        *("method.safetensors", "metrics.jsonl", "pretrain.json"),
    ]
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records] == [0, 2, 4]
    assert all(np.isfinite(record["validation_loss"]) for record in records)
    facts, loaded = read_facts(run), Representation.load(run)
    assert facts.config == dataclasses.replace(cfg, path=(squares_store.absolute(),))
    assert facts.content_hash == DemoStore.open(squares_store).content_hash(["camera"])
    assert len(facts.validation_episodes) == 2
    assert not loaded.training
    seen = {"camera": torch.zeros(2, 24, 24, 1, dtype=torch.uint8)}
    shown = loaded.show(seen, seen, torch.Generator())
    assert list(shown) == ["camera"]
    assert imread(run / "frames.png").std() > 0.1


def test_the_seed_fixes_the_run_and_leaves_the_global_stream_alone(tmp_path, squares_store):
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    cfg = PretrainConfig(squares_store, ContrastiveConfig(within=1), out=tmp_path / "a", **TINY)
    runs = [
        pretrain(dataclasses.replace(cfg, out=tmp_path / name, seed=seed))
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    ]
    assert torch.equal(torch.random.get_rng_state(), before)
    one, again, other = map(weights, runs)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_each_camera_has_a_network_by_its_name(two_cameras):
    _, run = two_cameras
    nets = CameraNets.load(run)
    assert list(nets.by_name()) == ["left.eye", "wrist"]
    assert nets.cfg.shapes == {"left.eye": (24, 24, 3), "wrist": (24, 24, 3)}
    seen = {camera: torch.zeros(2, 24, 24, 3, dtype=torch.uint8) for camera in nets.by_name()}
    features = nets(seen)
    assert torch.equal(features[:, :8], nets.by_name()["left.eye"](seen["left.eye"]))
    assert not torch.equal(features[:, :8], features[:, 8:])


def test_cameras_can_be_chosen(two_cameras):
    store, run = two_cameras
    demos, cfg = Demos.open(store), read_facts(run).config
    assert list(camera_shapes(dataclasses.replace(cfg, cameras=("wrist",)), demos)) == ["wrist"]
    with pytest.raises(ValueError, match=r"`cameras` state: .*two.zarr has the cameras left.eye, wrist"):
        camera_shapes(dataclasses.replace(cfg, cameras=("state",)), demos)


def test_pretraining_goes_on_from_another(two_cameras, tmp_path):
    store, run = two_cameras
    cfg = dataclasses.replace(read_facts(run).config, vision=dataclasses.replace(SMALL, init=run), out=tmp_path / "on")
    shapes = camera_shapes(cfg, Demos.open(store))
    on = pretrain(dataclasses.replace(cfg, steps=1, lr=1e-9))
    for name, value in weights(run).items():
        torch.testing.assert_close(weights(on)[name], value, atol=1e-6, rtol=0)
    assert CameraNets.load(on).cfg == CamerasConfig(SMALL, shapes)


@pytest.mark.parametrize("count", [None, 8])
def test_the_same_episodes_are_held_out_as_in_training(squares_store, count):
    demos = Demos.open(squares_store)
    ours = split(PretrainConfig(squares_store, validation_fraction=0.2, seed=5, num_episodes=count), demos)
    dataset = DatasetConfig(squares_store, validation_fraction=0.2, num_episodes=count)
    theirs = choose_episodes(demos, TrainConfig(dataset=dataset, seed=5, action_horizon=4, exec_horizon=1))
    assert {name: part.tolist() for name, part in ours.items()} == {
        name: part.tolist() for name, part in theirs.items()
    }


@pytest.mark.parametrize("method", ["autoencoder", "masked"])
def test_what_is_learned_is_what_networks_see(squares_store, tmp_path, method):
    """Decoders and the picture are of the smaller image, and a policy takes the networks of the same view."""
    vision = dataclasses.replace(SMALL, crop=(20, 20), resize=(12, 16))
    options = {"patch": 4} if method == "masked" else {}
    cfg = PretrainConfig(squares_store, METHODS[method](**options), out=tmp_path / "run", **(TINY | {"vision": vision}))
    run = pretrain(dataclasses.replace(cfg, validation_fraction=0.2))
    again, frames = Representation.load(run), torch.from_numpy(DemoStore.open(squares_store).episode(0).obs["camera"])
    shown = again.show({"camera": frames}, {"camera": frames}, torch.Generator().manual_seed(0))["camera"]
    assert {tuple(images.shape) for images in shown.values()} == {(12, 12, 16, 1)}
    shapes = {"camera": (24, 24, 1)}
    assert "camera" in read_start(dataclasses.replace(vision, init=run), shapes).weights
    with pytest.raises(ValueError, match=r"its images of 'camera' are 12x16x1, here they are 24x24x1"):
        read_start(dataclasses.replace(SMALL, init=run), shapes)


def test_of_other_episodes_nothing_is_learned(squares_store, tmp_path):
    """The run says which they were, and has their hash."""
    cfg = PretrainConfig(squares_store, out=tmp_path / "run", validation_fraction=0.4, num_episodes=5, **TINY)
    facts = read_facts(pretrain(cfg))
    assert (len(facts.training_episodes), len(facts.validation_episodes)) == (3, 2)
    store, few = DemoStore.open(squares_store), tmp_path / "few.zarr"
    chosen = sorted((*facts.training_episodes, *facts.validation_episodes))
    DemoWriter.create(few, attrs=store.attrs).extend([store.episode(index) for index in chosen])
    assert facts.content_hash == Demos.open(few).content_hash(["camera"])
    with pytest.raises(ValueError, match=r"`num_episodes` 21: .* has 20 episodes"):
        pretrain(dataclasses.replace(cfg, num_episodes=21, overwrite=True))


def test_a_run_is_replaced_only_if_asked(two_cameras, tmp_path):
    store, before = two_cameras
    run = shutil.copytree(before, tmp_path / "run")
    cfg = dataclasses.replace(read_facts(run).config, out=run, cameras=("wrist",), steps=1, log_every=1)
    with pytest.raises(
        ValueError, match="`cameras` was not given, it is wrist now; choose another `out`, or give `over"
    ):
        pretrain(cfg)
    (run / "notes.txt").write_text("mine")
    pretrain(dataclasses.replace(cfg, overwrite=True))
    assert list(CameraNets.load(run).by_name()) == ["wrist"]
    assert (run / "notes.txt").read_text() == "mine"
    with pytest.raises(ValueError, match="exists and is no pre-training"):
        pretrain(dataclasses.replace(cfg, out=store, overwrite=True))


def test_a_run_that_was_killed_as_its_files_took_their_places_is_complete(tmp_path, two_cameras):
    (_, run), killed = two_cameras, tmp_path / "run"
    shutil.copytree(run, killed / COMPLETE)
    pretrain(dataclasses.replace(read_facts(run).config, out=killed), refuse)
    assert sorted(path.name for path in killed.iterdir()) == sorted(path.name for path in run.iterdir())


def refuse(record):
    raise AssertionError(f"trained once more: {record}")


def test_a_complete_run_is_left_as_it_is(two_cameras):
    _, run = two_cameras
    before = {path.name: path.stat().st_mtime_ns for path in run.iterdir()}
    assert pretrain(read_facts(run).config, refuse) == run
    assert {path.name: path.stat().st_mtime_ns for path in run.iterdir()} == before
    assert STATE_FILE not in before


def test_a_run_of_an_older_release_is_complete(two_cameras, tmp_path):
    run = shutil.copytree(two_cameras[1], tmp_path / "run")
    facts = json.loads((run / "pretrain.json").read_text())
    del facts["step"]
    (run / "pretrain.json").write_text(json.dumps(facts))
    assert pretrain(dataclasses.replace(read_facts(run).config, out=run), refuse) == run


@contextmanager
def interrupted_at(step):
    """What is called with records, and sends the signal of Ctrl-C with the one of a step."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored in the background

    def stop(record):
        if record["step"] == step:
            signal.raise_signal(signal.SIGINT)

    yield stop
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_it_goes_on_bit_for_bit_where_it_was_stopped(tmp_path, squares_store, method):
    """Behind a record and behind a checkpoint between two records; the rate rises and falls meanwhile."""
    options = TINY | {"method": METHODS[method](), "steps": 7, "log_every": 2, "checkpoint_every": 3}
    cfg = PretrainConfig(squares_store, out=tmp_path / "whole", **options)
    whole, parts = pretrain(cfg), dataclasses.replace(cfg, out=tmp_path / "parts")
    with interrupted_at(4) as stop:
        assert pretrain(parts, stop) == tmp_path / "parts"
    assert read_facts(tmp_path / "parts").step == 4
    assert STATE_FILE in {path.name for path in (tmp_path / "parts").iterdir()}
    killed = []

    def kill(record):
        """As the seventh step begins, with a checkpoint of the sixth."""
        killed.append(record["step"])
        if record["step"] == 7:
            raise SystemExit

    with pytest.raises(SystemExit):
        pretrain(dataclasses.replace(parts, checkpoint_every=1), kill)
    assert (killed, read_facts(tmp_path / "parts").step) == ([6, 7], 6)
    pretrain(parts)
    names = sorted(path.name for path in whole.iterdir())
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == names
    for name in ("cameras.safetensors", "method.safetensors", "frames.png"):
        assert (tmp_path / "parts" / name).read_bytes() == (whole / name).read_bytes()
    assert losses(tmp_path / "parts") == losses(whole)


def losses(run):
    """The records, but for how fast it went."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "steps_per_s"} for row in rows]


def test_losses_that_no_record_has_yet_are_kept(tmp_path, squares_store):
    cfg = PretrainConfig(squares_store, out=tmp_path / "whole", **(TINY | {"log_every": 4, "checkpoint_every": 1}))
    whole, parts = pretrain(cfg), dataclasses.replace(cfg, out=tmp_path / "parts")

    def kill(record):
        if record["step"]:
            raise SystemExit

    with pytest.raises(SystemExit):
        pretrain(parts, kill)
    assert read_facts(tmp_path / "parts").step == 3
    pretrain(parts)
    assert losses(tmp_path / "parts") == losses(whole)


@pytest.fixture
def stopped_run(tmp_path, squares_store):
    """The configuration of a run that was stopped at its second step, of a store of its own."""
    store = shutil.copytree(squares_store, tmp_path / "squares.zarr")
    cfg = PretrainConfig(store, out=tmp_path / "run", **TINY)
    with interrupted_at(2) as stop:
        pretrain(cfg, stop)
    return cfg


def test_changed_images_are_noticed(tmp_path, stopped_run):
    shutil.rmtree(stopped_run.paths[0])
    write_squares(stopped_run.paths[0], lengths=(9,) * 20)
    with pytest.raises(ValueError, match="the images have changed since; choose another `out`, or give `overwrite`"):
        pretrain(stopped_run)


def test_a_state_of_another_training_is_refused(stopped_run):
    save_tensors({"losses": torch.zeros(1)}, stopped_run.out / STATE_FILE)
    with pytest.raises(ValueError, match=r"training.safetensors: damaged, or of a training"):
        pretrain(stopped_run)


def test_an_overwritten_run_begins_anew(stopped_run):
    records = []
    pretrain(dataclasses.replace(stopped_run, overwrite=True), records.append)
    assert [record["step"] for record in records] == [0, 2, 4]


def test_a_picture_that_cannot_be_drawn_is_a_warning(tmp_path, squares_store, monkeypatch, capsys):
    """What was learned is written, whatever becomes of what is only looked at; no half of a picture stays."""

    def refuse_disk(figure, path, **_):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", refuse_disk)
    run = pretrain(PretrainConfig(squares_store, out=tmp_path / "run", **TINY))
    assert "warning: frames.png is left out: drawing it failed (OSError: " in capsys.readouterr().err
    assert not list(run.glob("frames.png*"))
    assert Representation.load(run)


def test_a_training_that_diverges_is_one_line(tmp_path, squares_store):
    with pytest.raises(ValueError, match=r"step 2: the loss is not finite; nothing was saved; a lower `lr` may help"):
        pretrain(PretrainConfig(squares_store, out=tmp_path / "run", **(TINY | {"lr": 1e30})))
    assert not (tmp_path / "run").exists()


def test_what_diverged_is_never_saved(tmp_path, squares_store):
    """Checkpoints come before records: neither the first one is written, nor is one replaced that was good."""
    cfg = PretrainConfig(squares_store, out=tmp_path / "run", **(TINY | {"log_every": 4, "checkpoint_every": 2}))
    with pytest.raises(ValueError, match="step 2: a weight is not finite; nothing was saved; a lower `lr` may help"):
        pretrain(dataclasses.replace(cfg, lr=1e30))
    assert not (tmp_path / "run").exists()
    good = (pretrain(cfg) / "cameras.safetensors").read_bytes()
    with pytest.raises(ValueError, match=r"a weight is not finite; .*run holds what was saved before"):
        pretrain(dataclasses.replace(cfg, lr=1e30, overwrite=True))
    assert (tmp_path / "run" / "cameras.safetensors").read_bytes() == good


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": ()}, "name a store"),
        ({"steps": 0}, "`steps` 0 must be at least 1"),
        ({"validation_fraction": 0.0}, "`validation_fraction` 0 must be in"),
        ({"lr": 0.0}, "`lr` 0 must be above 0"),
        ({"cameras": ("a", "a")}, "`cameras` a a: one is given twice"),
        ({"vision": VisionConfig(init="run", freeze=True)}, "`vision.freeze`: nothing would be learned"),
    ],
)
def test_a_wrong_configuration_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        PretrainConfig(**{"path": "demos.zarr", **change})


def test_a_store_without_images_is_refused(demos, tmp_path):
    with pytest.raises(ValueError, match="has no images that could be learned from; all have action, state"):
        pretrain(PretrainConfig(demos, out=tmp_path / "run"))


@pytest.mark.parametrize(
    ("made", "same", "observed"),
    [
        ([], ["--dataset.obs-keys", "state", "pixels"], ["state", "pixels"]),
        (["--obs", "view=pixels"], ["--dataset.obs", "view=pixels"], ["view"]),
    ],
)
def test_the_next_command_is_a_training_that_observes_what_was_trained(
    tmp_path, tiny_flags, capsys, made, same, observed
):
    """Also where the demonstrations do not say that images are observed."""
    store, out, policy = tmp_path / "demos.zarr", tmp_path / "run", tmp_path / "policy"
    images, places = squares(np.random.default_rng(0), 12)
    DemoWriter.create(store, attrs=StoreAttrs()).extend([Episode({"pixels": images, "state": places}, places)] * 20)
    small = ["--steps", "1", "--device", "cpu", "--threads", "1", "--vision.width", "8", "--vision.features", "4"]
    main(["pretrain", str(store), *made, "--batch-size", "4", *small, "--out", str(out)])
    (said,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("next: "))
    _, _, verb, *flags = shlex.split(said)
    assert (verb, flags) == ("train", ["--dataset.path", str(store), *same, "--vision.init", str(out)])
    main([verb, *tiny_flags, *flags, *small, "--out", str(policy)])
    assert list(Run.open(policy).policy_config().obs_shapes) == observed


@pytest.mark.parametrize("named", [True, False])
def test_a_stopped_command_says_how_it_goes_on(tmp_path, squares_store, capsys, monkeypatch, named):
    """With --overwrite, or without a directory, the same command would begin anew."""
    monkeypatch.chdir(tmp_path)
    run, original = tmp_path / "run", _Pretraining._note

    def note(self, record):
        original(self, record)
        if record["step"] == 2:
            signal.raise_signal(signal.SIGINT)

    flags = ["--batch-size", "8", "--steps", "4", "--log-every", "2", "--amp", "off", "--device", "cpu"]
    flags += ["--threads", "1", "--vision.width", "8", "--vision.features", "4"]
    with monkeypatch.context() as patch, interrupted_at(None):
        patch.setattr(_Pretraining, "_note", note)
        with pytest.raises(SystemExit) as caught:
            main(["pretrain", str(squares_store), *flags, *(["--out", str(run), "--overwrite"] if named else [])])
    assert caught.value.code == 130
    said = capsys.readouterr().out
    made = run if named else next((tmp_path / "runs").iterdir()).relative_to(tmp_path)
    assert f"stopped at step 2: {made}" in said
    beside = "without --overwrite" if named else f"with --out {made}"
    assert f"the same command {beside} goes on from there" in said
    main(["pretrain", str(squares_store), *flags, "--out", str(made)])
    assert "trained to step 4" in capsys.readouterr().out


def test_the_command(tmp_path, squares_store, capsys):
    """A method's own options stand beside those of all."""
    out = tmp_path / "run"
    flags = ["--batch-size", "8", "--steps", "2", "--amp", "off", "--device", "cpu", "--threads", "1"]
    flags += ["--vision.width", "8", "--vision.features", "4", "--out", str(out)]
    main(["pretrain", str(squares_store), "--method", "masked", "--hidden", "0.25", "--patch", "6", *flags])
    said = capsys.readouterr().out
    assert f"trained to step 2: {out}" in said
    assert "held-out loss" in said
    assert f"next: robolearn train --dataset.path {squares_store} --vision.init {out}" in said
    assert read_facts(out).config.method == METHODS["masked"](patch=6, hidden=0.25)
    with pytest.raises(SystemExit):
        main(["pretrain", str(squares_store), "--method", "vae", "--hidden", "0.25"])
    with pytest.raises(SystemExit):
        main(["pretrain", str(squares_store), "--method", "jepa"])
    assert "`method`" not in (error := capsys.readouterr().err)
    assert "--method jepa: choose from autoencoder, vae, contrastive, masked" in error

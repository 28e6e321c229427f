"""A policy that begins with the cameras' networks of a pre-training."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch

from robolearn import train as train_function
from robolearn.data.attrs import StoreAttrs
from robolearn.data.writer import DemoWriter
from robolearn.images import ImageLayout
from robolearn.nets.mlp import MLPConfig
from robolearn.nets.pretrained import CameraNets, CamerasConfig
from robolearn.nets.vision import VisionConfig
from robolearn.nets.weights import load_tensors
from robolearn.policies.policy import Policy
from robolearn.policies.regression import RegressionConfig
from robolearn.training.config import DatasetConfig, TrainConfig
from robolearn.training.run import Run
from robolearn.types import Episode
from tests.training.test_resume import assert_same_state, cut_at

VISION = VisionConfig(width=8, num_keypoints=3, features=4)
SEES = ["--vision.width", "8", "--vision.num-keypoints", "3", "--vision.features", "4"]
MODEL = ["regression", "mlp", "--backbone.width", "16", "--backbone.depth", "1", *SEES]
RUN = ["--amp", "off", "--threads", "1", "--device", "cpu", "--no-wandb", "--batch-size", "8", "--warmup-steps", "1"]
HORIZONS = ["--obs-horizon", "1", "--action-horizon", "2", "--exec-horizon", "1", "--dataset.validation-fraction", "0"]
SHAPES = {"left": (12, 12, 3), "wrist.eye": (12, 12, 3), "depth": (12, 12, 1)}
DEPTH = ImageLayout("hwc", 0.5, 2.0, is_depth=True)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Two cameras in color, and one of depth [m], which no policy here sees unless it is asked for."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("eyes") / "eyes.zarr"
    episodes = []
    for _ in range(4):
        obs = {key: rng.integers(0, 256, (10, *SHAPES[key]), np.uint8) for key in ("wrist.eye", "left")}
        obs["depth"] = rng.uniform(0.6, 1.1, (10, 12, 12, 1)).astype(np.float32)
        episodes.append(Episode(obs=obs, actions=rng.standard_normal((10, 2)).astype(np.float32)))
    DemoWriter.create(path, attrs=StoreAttrs(obs_keys=("wrist.eye", "left"))).extend(episodes)
    return path


@pytest.fixture
def pretrained(tmp_path):
    torch.manual_seed(7)
    (tmp_path / "eyes").mkdir()
    CameraNets(CamerasConfig(VISION, SHAPES, {"depth": DEPTH})).save(tmp_path / "eyes")
    return tmp_path / "eyes"


@pytest.fixture
def train(train_main, store, tmp_path):
    def train(out, *flags, model=MODEL):
        train_main([*model, *RUN, *HORIZONS, "--dataset.path", str(store), "--out", str(tmp_path / out), *flags])
        return Run(tmp_path / out)

    return train


def cameras_of(run, prefix=""):
    """Camera -> weights of its network in the last checkpoint, the averaged ones or others by their prefix."""
    file = "train.safetensors" if prefix else "policy.safetensors"
    tensors = load_tensors(run.checkpoint() / file)
    cameras = Policy.load(run.checkpoint()).encoder.cameras
    names = {camera: f"{prefix}encoder.networks.{i}." for i, camera in enumerate(cameras)}
    return {
        camera: {key.removeprefix(name): value for key, value in tensors.items() if key.startswith(name)}
        for camera, name in names.items()
    }


def largest_change(weights, directory):
    """Over the weights of all cameras."""
    there = CameraNets.load(directory).by_name()
    assert weights
    return max(
        float((value - there[camera].state_dict()[name]).abs().max())
        for camera, net in weights.items()
        for name, value in net.items()
    )


def test_training_begins_with_the_weights_of_each_camera(train, pretrained):
    run = train("run", "--vision.init", str(pretrained), "--steps", "1", "--lr", "1e-9")
    assert largest_change(cameras_of(run), pretrained) < 1e-7
    assert list(cameras_of(run)) == ["wrist.eye", "left"]
    assert largest_change(cameras_of(train("random", "--steps", "1", "--lr", "1e-9")), pretrained) > 0.01


@pytest.mark.parametrize("model", [MODEL, ["gan", *MODEL[1:]]], ids=["regression", "gan"])
def test_frozen_weights_stay_bit_for_bit(train, pretrained, model):
    """Trained and averaged ones, whatever decays, is clipped or moves beside them; they take no optimizer state."""
    flags = ["--vision.init", str(pretrained), "--steps", "4", "--lr", "1e-2", "--weight-decay", "0.5"]
    run = train("frozen", *flags, "--vision.freeze", "--grad-clip", "0.1", model=model)
    for prefix in ("", "policy.", "ema."):
        assert largest_change(cameras_of(run, prefix), pretrained) == 0
    free = train("free", *flags, model=model)
    assert largest_change(cameras_of(free), pretrained) > 1e-4
    kept = [
        {name.rsplit(".", 1)[0] for name in load_tensors(one.checkpoint() / "train.safetensors") if "optimizer" in name}
        for one in (run, free)
    ]
    networks = sum(len(list(net.parameters())) for net in Policy.load(run.checkpoint()).encoder.networks)
    assert len(kept[1]) - len(kept[0]) == networks * (2 if "gan" in model else 1)  # both players train them


@pytest.mark.parametrize("freeze", [[], ["--vision.freeze"]], ids=["free", "frozen"])
def test_a_run_goes_on_without_the_pretraining(train, train_main, pretrained, tmp_path, freeze):
    """Bit for bit; the policy knows nothing of where it began, the run does."""
    flags = ["--vision.init", str(pretrained), *freeze, "--steps", "4"]
    whole = train("whole", *flags, "--checkpoint-every", "2", "--keep-every", "2")
    half = cut_at(whole.directory, 2, tmp_path / "half")
    shutil.rmtree(pretrained)
    train_main(["--resume", str(half)])
    assert_same_state(whole.directory, half)
    vision = dataclasses.replace(VISION, init=pretrained.absolute(), freeze=bool(freeze))
    assert Run(half).config().vision == vision
    assert Policy.load(Run(half).checkpoint()).cfg.vision == VISION
    with pytest.raises(ValueError, match="family, backbone and vision cannot change when resuming"):
        train_main(["--resume", str(half), "--vision.init", str(tmp_path), "--steps", "5"])


def test_a_configuration_goes_on_with_its_own_run(store, pretrained, tmp_path, monkeypatch):
    """Though the run has found out what the store declares, and names the same files from anywhere."""
    monkeypatch.chdir(tmp_path)
    small = {"backbone": MLPConfig(width=16, depth=1), "vision": dataclasses.replace(VISION, init="eyes")}
    few = {"obs_horizon": 1, "action_horizon": 2, "exec_horizon": 1, "steps": 2, "batch_size": 8, "threads": 1}
    dataset = DatasetConfig(store, validation_fraction=0.0)
    cfg = TrainConfig(RegressionConfig(), dataset=dataset, out="run", wandb=False, **small, **few)
    before = train_function(cfg).config()
    assert before.dataset.obs_keys == ("wrist.eye", "left") != cfg.dataset.obs_keys
    after = train_function(dataclasses.replace(cfg, steps=3), resume=True)
    assert (after.is_complete(), after.last_step()) == (True, 3)
    assert after.config() == dataclasses.replace(before, steps=3)
    others = dataclasses.replace(dataset, obs_keys=("left",))
    with pytest.raises(ValueError, match=r"`dataset.obs_keys` \('left',\) cannot change when resuming"):
        train_function(dataclasses.replace(cfg, dataset=others), resume=True)


@pytest.mark.slow
def test_all_members_begin_with_the_weights(train, pretrained):
    run = train("pair", "--vision.init", str(pretrained), "--vision.freeze", "--steps", "2", "--num-members", "2")
    for directory in (run.directory, run.member(1)):
        assert largest_change(cameras_of(Run(directory)), pretrained) == 0


def test_distances_are_seen_as_they_were_in_pretraining(train, train_main, pretrained, tmp_path):
    """Not as they would be measured in these demonstrations; also when the run goes on."""
    flags = ["--dataset.obs-keys", "depth", "--vision.init", str(pretrained), "--steps", "2"]
    run = train("depth", *flags)
    assert Policy.load(run.checkpoint()).cfg.images == {"depth": DEPTH}
    measured = train("measured", "--dataset.obs-keys", "depth", "--steps", "1")
    assert Policy.load(measured.checkpoint()).cfg.images["depth"].high < 1.2
    shutil.rmtree(pretrained)
    train_main(["--resume", str(run.directory), "--steps", "3"])
    assert Policy.load(run.checkpoint()).cfg.images == {"depth": DEPTH}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--vision.width", "16"], "its vision.width is 8, here it is 16"),
        (["--dataset.obs", "new=left", "--dataset.obs-keys", "new"], "no camera 'new'; it has left, wrist.eye, depth"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_written(train, pretrained, tmp_path, flags, message):
    with pytest.raises(ValueError, match=message):
        train("run", "--vision.init", str(pretrained), *flags)
    assert not (tmp_path / "run").exists()


def test_a_teachers_networks_and_others_exclude_each_other(train, pretrained, tmp_path):
    teacher = train("teacher", "--steps", "1", model=["score", *MODEL[1:]])
    flags = ["--family.teacher-run", str(teacher.directory), "--vision.init", str(pretrained)]
    with pytest.raises(
        ValueError, match=r"with `family\.teacher_run` the networks are the teacher's; give one of them"
    ):
        train("student", *flags, model=["mixture", *MODEL[1:]])

"""Weights that networks begin with: which fit, which are refused, and which are frozen."""

import dataclasses

import pytest
import torch

from robolearn.images import ImageLayout
from robolearn.nets.pretrained import CameraNets, CamerasConfig, begin, freeze, read_start
from robolearn.nets.vision import VisionConfig

SMALL = VisionConfig(width=8, num_keypoints=3, features=4)
SHAPES = {"a": (16, 20, 3), "b.c": (8, 8, 1)}
DEPTH = ImageLayout("hw", 0.2, 3.0, is_depth=True)


@pytest.fixture
def run(tmp_path):
    torch.manual_seed(1)
    nets = CameraNets(CamerasConfig(SMALL, SHAPES, {"b.c": DEPTH}))
    (tmp_path / "run").mkdir()
    nets.save(tmp_path / "run")
    return tmp_path / "run"


def seeing(run, **changes):
    return dataclasses.replace(SMALL, init=run, **changes)


def test_what_was_saved_is_loaded(run):
    loaded = CameraNets.load(run)
    torch.manual_seed(1)
    saved = CameraNets(loaded.cfg)
    assert loaded.cfg == CamerasConfig(SMALL, SHAPES, {"b.c": DEPTH})
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in saved.state_dict().items())


def test_networks_begin_with_the_weights_of_their_cameras(run):
    """By name, in whatever order; cameras that a policy does not have are left out."""
    there = CameraNets.load(run).by_name()
    for shapes in ({"b.c": SHAPES["b.c"], "a": SHAPES["a"]}, {"b.c": SHAPES["b.c"]}):
        start = read_start(seeing(run), shapes)
        nets = CameraNets(CamerasConfig(SMALL, shapes)).by_name()
        begin(nets, start)
        for camera, net in nets.items():
            assert all(torch.equal(there[camera].state_dict()[name], value) for name, value in net.state_dict().items())
        assert start.images == {"b.c": DEPTH}
    assert read_start(seeing(run), {"a": SHAPES["a"]}).images == {}


def test_what_varies_images_may_be_another(run):
    """And the default width may be said."""
    read_start(seeing(run, shift=1, jitter=0.3), SHAPES)
    assert VisionConfig(width=16).structure() == VisionConfig().structure()


@pytest.mark.parametrize(
    ("changes", "shapes", "message"),
    [
        ({"width": 16}, SHAPES, "its vision.width is 8, here it is 16"),
        ({"network": "resnet18"}, SHAPES, "its vision.network is lenet, here it is resnet18"),
        ({"features": 5}, SHAPES, "its vision.features is 4, here it is 5"),
        ({"num_keypoints": 5}, SHAPES, "its vision.num_keypoints is 3, here it is 5"),
        ({}, {"wrist": (16, 20, 3)}, "no camera 'wrist'; it has a, b.c"),
        ({}, {"a": (16, 21, 3)}, "its images of 'a' are 16x20x3, here they are 16x21x3"),
        ({}, {"a": (16, 20, 1)}, "its images of 'a' are 16x20x3, here they are 16x20x1"),
        ({}, {}, "there is no camera; images are observed by `dataset.obs_keys`"),
    ],
)
def test_what_does_not_fit_is_refused(run, changes, shapes, message):
    with pytest.raises(ValueError, match=message) as error:
        read_start(seeing(run, **changes), shapes)
    assert str(error.value).startswith(f"`vision.init` {run}: ")
    assert "\n" not in str(error.value)


def test_what_is_no_run_is_refused(tmp_path, run):
    for path, said in (
        (tmp_path, r"is no pre-training: it has no cameras\.json"),
        (tmp_path / "no", "no: no such folder"),
    ):
        with pytest.raises(ValueError, match=said):
            read_start(seeing(path), SHAPES)
    (run / "cameras.safetensors").write_bytes((run / "cameras.safetensors").read_bytes()[:200])
    with pytest.raises(ValueError, match=r"cameras.safetensors: damaged"):
        read_start(seeing(run), SHAPES)


def test_imagenet_weights_are_for_one_network(tmp_path):
    file = tmp_path / "resnet18.safetensors"
    for vision, shapes, message in (
        (
            VisionConfig("resnet18", init=file),
            SHAPES,
            "are for `vision.network` resnet18_imagenet, here it is resnet18",
        ),
        (VisionConfig("resnet18_imagenet", width=32, init=file), SHAPES, "its vision.width is 64, here it is 32"),
        (VisionConfig("resnet18_imagenet", init=file), SHAPES, "it sees 3 channels, the camera 'b.c' has 1"),
        (VisionConfig("resnet18_imagenet", init=file), {"a": SHAPES["a"]}, "resnet18.safetensors: no such file"),
        (VisionConfig("resnet18_imagenet"), SHAPES, "begins with weights; give them with `vision.init`"),
    ):
        with pytest.raises(ValueError, match=message):
            read_start(vision, shapes)
    assert read_start(VisionConfig("resnet18_imagenet"), {}).weights == {}


@pytest.mark.parametrize(
    ("vision", "trained"),
    [
        (SMALL, {"trunk", "maps", "head"}),
        (dataclasses.replace(SMALL, init="run"), {"trunk", "maps", "head"}),
        (dataclasses.replace(SMALL, init="run", freeze=True), set()),
        (dataclasses.replace(SMALL, init="some.safetensors", freeze=True), {"maps", "head"}),
    ],
)
def test_frozen_is_what_was_given(vision, trained):
    nets = CameraNets(CamerasConfig(SMALL, SHAPES)).by_name()
    freeze(nets, vision)
    trainable = {name.split(".")[0] for net in nets.values() for name, p in net.named_parameters() if p.requires_grad}
    assert trainable == trained


def test_freezing_needs_weights():
    with pytest.raises(ValueError, match=r"`vision\.freeze` keeps the weights of `vision\.init`; give that too"):
        VisionConfig(freeze=True)

"""Camera networks: where the spatial softmax points, and that images do not mix."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from torch import nn

from robolearn.errors import UserError
from robolearn.nets.encoder import ObsEncoder
from robolearn.nets.pretrained import CameraNets, CamerasConfig
from robolearn.nets.resnet import resnet18
from robolearn.nets.vision import CameraNet, VisionConfig, spatial_softmax

NETWORKS = ["lenet", "resnet18"]


def build(network, **options) -> CameraNet:
    torch.manual_seed(0)
    return VisionConfig(network=network, **{"width": 8, "num_keypoints": 6, "features": 5, **options}).build(3)


def images(number=4, size=(40, 48), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (number, *size, 3), generator=generator, dtype=torch.uint8)


@settings(max_examples=50)
@given(height=st.integers(1, 9), width=st.integers(1, 9), data=st.data())
def test_the_spatial_softmax_finds_a_bright_pixel(height, width, data):
    row, column = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    maps = torch.zeros(2, 3, height, width)
    maps[1, 2, row, column] = 50.0
    points = spatial_softmax(maps)
    expected = torch.tensor([(2 * column + 1) / width - 1, (2 * row + 1) / height - 1])
    torch.testing.assert_close(points[1, 2], expected)
    torch.testing.assert_close(points[0], torch.zeros(3, 2))  # without a response: the middle


def test_a_keypoint_moves_with_the_image():
    maps = torch.full((1, 1, 12, 10), -30.0)
    maps[0, 0, 3:6, 2:5] = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    moved = maps.roll((4, 5), dims=(2, 3))
    expected = torch.tensor([2 * 5 / 10, 2 * 4 / 12])
    torch.testing.assert_close((spatial_softmax(moved) - spatial_softmax(maps))[0, 0], expected)


def test_keypoints_are_exact_under_autocast():
    maps = torch.randn(2, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(spatial_softmax(maps), spatial_softmax(maps.double()).float(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("network", NETWORKS)
def test_an_image_does_not_depend_on_its_neighbors(network):
    net, batch = build(network), images()
    for mode in (True, False):  # batch normalization would differ in either
        net.train(mode)
        torch.testing.assert_close(net(batch)[2:3], net(batch[2:3]))
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in net.modules())
    assert any(isinstance(module, nn.GroupNorm) for module in net.modules())


def test_batch_norm_would_be_noticed(monkeypatch):
    monkeypatch.setattr("robolearn.nets.vision.norm", nn.BatchNorm2d)
    with pytest.raises(AssertionError):
        test_an_image_does_not_depend_on_its_neighbors("lenet")


@pytest.mark.parametrize("network", NETWORKS)
def test_every_parameter_and_every_pixel_region_matters(network):
    net = build(network)
    batch = images().float().requires_grad_()
    net(batch).square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []
    regions = batch.grad.abs().unflatten(1, (5, 8)).unflatten(3, (6, 8)).sum((2, 4))
    assert (regions > 0).all()


@pytest.mark.parametrize("network", NETWORKS)
def test_eight_bit_and_float_images_are_the_same(network):
    net = build(network)
    assert torch.equal(net(images()), net(images().float()))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(8, 8), (96, 96), (33, 70)])
def test_any_size_and_number_of_channels(size, channels):
    net = VisionConfig(width=8, num_keypoints=3, features=7).build(channels)
    assert net(torch.zeros(2, *size, channels, dtype=torch.uint8)).shape == (2, 7)


@pytest.mark.parametrize(("network", "side"), [("lenet", 5), ("resnet18", 33), ("resnet18_imagenet", 33)])
def test_images_in_which_nothing_could_be_seen_are_refused(network, side):
    """Maps of one cell along an axis have their keypoints in its middle, whatever there is."""
    vision = VisionConfig(network, width=8, num_keypoints=6, features=5)
    others = "resnet18 33" if network == "lenet" else "lenet 5"
    for small in ((side - 1, 40, 3), (40, side - 1, 3)):
        message = rf"camera 'front': .* {small[0]} x {small[1]} .*{network}, .* needs {side} pixels a side, .*{others}"
        with pytest.raises(UserError, match=message):
            ObsEncoder({"front": small}, {}, vision)
        with pytest.raises(UserError, match=message):
            CameraNets(CamerasConfig(vision, {"front": small}))
    torch.manual_seed(0)
    assert vision.build(3)(images(4, (side, side))).std(0).min() > 1e-4
    ObsEncoder({"front": (side, side, 3)}, {}, vision)


def test_resnet_has_the_size_of_the_paper():
    """Without its head torchvision's ResNet-18 has 11,176,512 parameters; GroupNorm has as many as BatchNorm."""
    trunk, dim = resnet18(3, 64)
    assert sum(p.numel() for p in trunk.parameters()) == 11_176_512
    assert dim == 512
    assert sum(isinstance(module, nn.Conv2d) for module in trunk.modules()) == 20
    assert trunk(torch.zeros(1, 3, 96, 96)).shape == (1, 512, 3, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "vgg"}, "network 'vgg' is unknown; choose from lenet, resnet18"),
        ({"width": 12}, "width 12 must be a multiple of 8"),
        ({"width": 0}, "width 0 must be a multiple of 8"),
        ({"num_keypoints": 0}, "num_keypoints 0 and features 64 must be at least 1"),
        ({"shift": -1}, "shift -1 must not be negative"),
        ({"hue": 0.6}, r"`vision.hue` 0.6 must be in \[0, 0.5\]"),
        ({"jitter": 1.0}, r"jitter in \[0, 1\)|jitter 1.0 in \[0, 1\)"),
    ],
)
def test_impossible_configurations(options, message):
    # The type checker that the tests run under may refuse a wrong literal first.
    with pytest.raises((ValueError, TypeCheckError), match=message if "network" not in options else "network"):
        VisionConfig(**options)


def test_what_has_no_hues_is_not_turned():
    with pytest.raises(UserError, match=r"`vision.hue` turns the hues of images with 3 channels, and these have 1"):
        VisionConfig(hue=0.1).build(1)

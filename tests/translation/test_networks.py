"""Shapes of generators and critics, for images of any size."""

import pytest
import torch
from torch import nn

from robolearn.translation.networks import critic, generator, recorded, seen


@pytest.mark.parametrize("networks", ["resnet", "dcgan"])
@pytest.mark.parametrize(("height", "width", "channels"), [(32, 32, 1), (37, 50, 3), (64, 96, 4)])
def test_an_image_becomes_one_of_the_same_size(networks, height, width, channels):
    made = generator(networks, channels, 8, 2)(torch.randn(2, channels, height, width))
    assert made.shape == (2, channels, height, width)
    assert made.abs().max() <= 1


@pytest.mark.parametrize(("networks", "shape"), [("resnet", (2, 1, 22, 22)), ("dcgan", (2, 1, 1, 1))])
def test_patches_are_judged_each_or_the_whole_image(networks, shape):
    judge = critic(networks, (96, 96, 3), 8)
    image = torch.rand(2, 3, 96, 96, requires_grad=True)
    scores = judge(image)
    assert scores.shape == shape
    # Instance normalization sees all of its map, so what a patch is shows without it.
    plain = nn.Sequential(*(m for m in judge.modules() if isinstance(m, nn.Conv2d | nn.LeakyReLU)))
    middle = shape[2] // 2
    (slope,) = torch.autograd.grad(plain(image)[0, 0, middle, middle], image)
    rows = slope[0].abs().sum((0, 2)).nonzero()
    assert len(rows) == (34 if networks == "resnet" else 96)


@pytest.mark.parametrize("networks", ["resnet", "dcgan"])
def test_images_are_translated_one_by_one(networks):
    torch.manual_seed(0)
    made, images = generator(networks, 3, 8, 2), torch.rand(3, 3, 32, 32) * 2 - 1
    torch.testing.assert_close(made(images)[1:2], made(images[1:2]), atol=1e-5, rtol=1e-4)


def test_the_encoder_has_the_stages_of_the_paper():
    maps = generator("resnet", 3, 8, 4).features(torch.zeros(1, 3, 32, 32))
    assert [tuple(one.shape[1:]) for one in maps] == [(8, 32, 32), (16, 16, 16), *[(32, 8, 8)] * 3]
    assert len(generator("resnet", 3, 8, 1).stages) == 4


def test_weights_begin_as_in_the_papers():
    """Of 36864 draws; 5 standard errors of a standard deviation are 2 %."""
    torch.manual_seed(0)
    block = generator("resnet", 3, 16, 1).stages[-1]
    weights = next(p for p in block.parameters() if p.dim() == 4)
    assert weights.std().item() == pytest.approx(0.02, rel=0.02)


def test_pixels_go_there_and_back():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1)
    assert seen(levels).shape == (1, 1, 16, 16)
    assert (seen(levels).min(), seen(levels).max()) == (-1, 1)
    assert torch.equal(recorded(seen(levels)), levels)

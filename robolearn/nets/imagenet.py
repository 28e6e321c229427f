"""torchvision's ImageNet weights of ResNet-18, from a .safetensors file with its names, for the network of a camera.

torchvision gives pixels in [0, 1] the mean 0 and the standard deviation 1 of ImageNet, channel by channel; here the
first norm of the trunk does it with pixels in [-1, 1]. Its batch normalizations become scales and offsets, with the
statistics that lie beside the weights. The maps are then those of torchvision's network in evaluation mode.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from robolearn.errors import UserError
from robolearn.nets.unallocated import unallocated
from robolearn.nets.vision import VisionConfig
from robolearn.nets.weights import load_tensors

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels in [0, 1]
EPS = 1e-5  # of torchvision's batch normalization
NORM = ("weight", "bias", "running_mean", "running_var")


def imagenet_trunk(path: Path) -> dict[str, Tensor]:
    """Read the weights of a trunk, under the names that they have in a `CameraNet`.

    Raises:
        UserError: The file is missing or damaged, or is not torchvision's ResNet-18.
    """
    theirs = load_tensors(path)
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    trunk = {"0.scale": 0.5 / std, "0.offset": (0.5 - mean) / std}
    for kind, ours, name in places():
        for part in NORM if kind == "norm" else ("weight",):
            if f"{name}.{part}" not in theirs:
                raise UserError(f"{path}: no ResNet-18 of torchvision; it has no {name}.{part}")
        if kind == "norm":
            weight, bias, center, variance = (theirs[f"{name}.{part}"].float()[:, None, None] for part in NORM)
            scale = weight * (variance + EPS).rsqrt()
            trunk |= {f"{ours}.scale": scale, f"{ours}.offset": bias - center * scale}
        else:
            trunk[f"{ours}.weight"] = theirs[f"{name}.weight"].float()
    weights = {f"trunk.{name}": value for name, value in trunk.items()}
    with unallocated():
        expected = VisionConfig("resnet18_imagenet").build(len(MEAN)).state_dict()
    for name, value in weights.items():
        if value.shape != expected[name].shape:
            raise UserError(f"{path}: no ResNet-18 of torchvision; {name} would be {tuple(value.shape)}")
    return weights


def places() -> Iterator[tuple[str, str, str]]:
    """Whether a layer is a convolution or a norm, its place in the trunk, and its name in torchvision."""
    yield from (("convolution", "1", "conv1"), ("norm", "2", "bn1"))
    for stage in range(4):
        for block in range(2):
            ours, name = 5 + 2 * stage + block, f"layer{stage + 1}.{block}"
            for number in (1, 2):
                yield "convolution", f"{ours}.branch.{3 * number - 3}", f"{name}.conv{number}"
                yield "norm", f"{ours}.branch.{3 * number - 2}", f"{name}.bn{number}"
            if stage and not block:
                yield "convolution", f"{ours}.skip.0", f"{name}.downsample.0"
                yield "norm", f"{ours}.skip.1", f"{name}.downsample.1"

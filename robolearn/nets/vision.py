"""From a camera's images to features: convolutions, then where in the image each of their maps responds."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from robolearn.data.view import View
from robolearn.errors import UserError
from robolearn.files import take_paths
from robolearn.images import MIN_SIDE
from robolearn.nets.resnet import GROUP, norm, resnet18, resnet18_imagenet
from robolearn.nets.sizes import check_sizes


@dataclass(frozen=True)
class VisionConfig:
    """How camera images become features; of no effect without images."""

    network: Literal["lenet", "resnet18", "resnet18_imagenet"] = "lenet"
    """lenet (three convolutions), resnet18, or resnet18_imagenet, which is torchvision's and takes its weights; one
    network per camera."""
    width: int | None = None
    """Channels of the first convolution, a multiple of 8; by default 16 for lenet and 64 for the others."""
    num_keypoints: int = 32
    """Points that the spatial softmax finds in an image."""
    features: int = 64
    """Numbers that an image hands to the backbone."""
    shift: int = 4
    """Training images are shifted at random by up to so many pixels, all images of a window alike; 0 for none."""
    jitter: float = 0.1
    """Strength of the random brightness, contrast and color of training images, in [0, 1); 0 for none."""
    init: Path | str | None = None
    """Weights to begin training with: a run of `pretrain`, or torchvision's ImageNet weights as a .safetensors file; by
    default random ones."""
    freeze: bool = False
    """Train none of the weights that init gives."""
    crop: tuple[int, int] | None = None
    """Height and width in pixels of the middle of an image that the network sees; by default all of it."""
    resize: tuple[int, int] | None = None
    """Height and width in pixels that images, once cropped, are made smaller to; by default they stay."""
    hue: float = 0.0
    """The hues of training images with three channels are turned at random by up to this share of a turn, in [0, 0.5];
    with all of it colors tell nothing but dark from light."""

    def __post_init__(self) -> None:
        take_paths(self, "init")
        if self.network not in TRUNKS:
            raise UserError(f"vision: network {self.network!r} is unknown; choose from {', '.join(TRUNKS)}")
        if self.width is not None and (self.width < GROUP or self.width % GROUP):
            raise UserError(f"vision: width {self.width} must be a multiple of {GROUP}")
        if self.num_keypoints < 1 or self.features < 1:
            raise UserError(
                f"vision: num_keypoints {self.num_keypoints} and features {self.features} must be at least 1"
            )
        if self.shift < 0 or not 0 <= self.jitter < 1:
            raise UserError(f"vision: shift {self.shift} must not be negative, jitter {self.jitter} in [0, 1)")
        if not 0 <= self.hue <= 0.5:
            raise UserError(f"`vision.hue` {self.hue} must be in [0, 0.5], a share of a turn")
        if self.freeze and self.init is None:
            raise UserError("`vision.freeze` keeps the weights of `vision.init`; give that too")
        for name, size in (("crop", self.crop), ("resize", self.resize)):
            if size is not None and min(size) < MIN_SIDE:
                raise UserError(f"`vision.{name}` {size[0]} x {size[1]} must be at least {MIN_SIDE} x {MIN_SIDE}")

    def built(self) -> VisionConfig:
        """What networks and their training images are, however their training began."""
        return dataclasses.replace(self, init=None, freeze=False)

    @property
    def view(self) -> View:
        """What of an image the network sees."""
        return View(self.crop, self.resize)

    def seen(self, camera: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Shape [h, w, c] in which the network sees images [h, w, c].

        Raises:
            UserError: They do not fit the view, or the network would see nothing along an axis.
        """
        height, width, channels = self.view.seen(shape)
        if min(height, width) <= CELL[self.network]:
            others = ", ".join(f"{name} {side + 1}" for name, side in CELL.items() if name != self.network)
            raise UserError(
                f"camera {camera!r}: images of {height} x {width} pixels are one cell wide or high to `vision.network` "
                f"{self.network}, which then does not see where things are: it needs {CELL[self.network] + 1} pixels a "
                f"side, {others}"
            )
        return height, width, channels

    def structure(self) -> dict[str, str | int]:
        """Field -> value of what decides the shapes of the weights."""
        width = self.width or TRUNKS[self.network][1]
        same = {"num_keypoints": self.num_keypoints, "features": self.features}
        return {"network": self.network, "width": width, **same}

    def build(self, channels: int) -> CameraNet:
        """Build the network of one camera.

        Raises:
            UserError: Hues shall be turned, and its images have none.
        """
        if self.hue and channels != 3:
            raise UserError(f"`vision.hue` turns the hues of images with 3 channels, and these have {channels}")
        check_sizes("vision", width=self.width or 1, num_keypoints=self.num_keypoints, features=self.features)
        return CameraNet(self, channels)


class CameraNet(nn.Module):
    """Images -> what is seen of them -> maps -> keypoints -> features."""

    def __init__(self, cfg: VisionConfig, channels: int):
        super().__init__()
        self.view = cfg.view
        build, width = TRUNKS[cfg.network]
        self.trunk, dim = build(channels, cfg.width or width)
        self.maps = nn.Conv2d(dim, cfg.num_keypoints, 1)
        self.head = nn.Linear(2 * cfg.num_keypoints, cfg.features)

    def forward(self, images: Shaped[Tensor, "n h w c"]) -> Float[Tensor, "n f"]:
        """Map images, as they were recorded or as they are seen, 0 .. 255 of any type, to features; each by itself."""
        x = self.view.apply(images).movedim(3, 1).contiguous().float() / 127.5 - 1
        return self.head(spatial_softmax(self.maps(self.trunk(x))).flatten(1))


def lenet(channels: int, width: int) -> tuple[nn.Sequential, int]:
    """Build three convolutions, in the manner of LeCun et al. 1998: [n, channels, h, w] to [n, 2 width, h / 4, w / 4].

    Returns:
        The trunk and the channels of its maps.
    """
    dim = 2 * width
    layers = (
        (nn.Conv2d(channels, width, 5, 2, 2), norm(width), nn.ReLU()),
        (nn.Conv2d(width, dim, 3, 2, 1), norm(dim), nn.ReLU()),
        (nn.Conv2d(dim, dim, 3, 1, 1), norm(dim), nn.ReLU()),
    )
    return nn.Sequential(*(module for layer in layers for module in layer)), dim


# Network -> how it is built, and channels of its first convolution.
TRUNKS = {"lenet": (lenet, 16), "resnet18": (resnet18, 64), "resnet18_imagenet": (resnet18_imagenet, 64)}
CELL = {"lenet": 4, "resnet18": 32, "resnet18_imagenet": 32}  # pixels a side that a cell of its maps stands for


def spatial_softmax(maps: Float[Tensor, "n k h w"]) -> Float[Tensor, "n k 2"]:
    """Where each map responds: the mean of the pixels' positions under its softmax (Finn et al. 2016, section V-B).

    Returns:
        x to the right and y downwards in (-1, 1), -1 and 1 being the image's edges.
    """
    height, width = maps.shape[2:]
    # In float32 and without a matrix product, also under autocast: bfloat16 knows a position to 1 in 256.
    weights = maps.float().flatten(2).softmax(dim=2).unflatten(2, (height, width))
    x, y = ((torch.arange(n, device=maps.device) * 2 + 1) / n - 1 for n in (width, height))
    return torch.stack([(weights.sum(2) * x).sum(2), (weights.sum(3) * y).sum(2)], dim=2)

"""ResNet-18 without its head (He et al. 2016, table 1), with GroupNorm (Wu & He 2018) or as torchvision's weights need.

Those belong to batch normalization with the statistics of ImageNet. Under other statistics, such as an image's
own, they are those of another function. With fixed statistics a normalization is a scale and an offset per channel.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

GROUP = 8  # channels that are normalized together

Norm = Callable[[int], nn.Module]


def norm(channels: int) -> nn.GroupNorm:
    """Normalize each image by itself: batch statistics disagree with a moving average of the weights."""
    return nn.GroupNorm(channels // GROUP, channels)


class FixedNorm(nn.Module):
    """A scale and an offset per channel: batch normalization whose statistics are fixed."""

    def __init__(self, channels: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels, 1, 1))
        self.offset = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Scale and move each channel."""
        return x * self.scale + self.offset


def resnet18(channels: int, width: int, norm: Norm = norm) -> tuple[nn.Sequential, int]:
    """Build the trunk, images [n, channels, h, w] to maps [n, 8 width, h / 32, w / 32].

    Returns:
        The trunk and the channels of its maps.
    """
    stem = (nn.Conv2d(channels, width, 7, 2, 3, bias=False), norm(width), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    blocks, dim_in = [], width
    for stage in range(4):
        dim_out, stride = width * 2**stage, 2 if stage else 1
        blocks += [BasicBlock(dim_in, dim_out, stride, norm), BasicBlock(dim_out, dim_out, 1, norm)]
        dim_in = dim_out
    return nn.Sequential(*stem, *blocks), dim_in


def resnet18_imagenet(channels: int, width: int) -> tuple[nn.Sequential, int]:
    """Build the trunk with norms of fixed statistics, the first of which brings pixels to the units of ImageNet."""
    trunk, dim = resnet18(channels, width, FixedNorm)
    return nn.Sequential(FixedNorm(channels), *trunk), dim


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions, plus the (projected) input."""

    def __init__(self, dim_in: int, dim_out: int, stride: int, norm: Norm):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(dim_in, dim_out, 3, stride, 1, bias=False),
            norm(dim_out),
            nn.ReLU(),
            nn.Conv2d(dim_out, dim_out, 3, 1, 1, bias=False),
            norm(dim_out),
        )
        self.skip: nn.Module = nn.Identity()
        if dim_in != dim_out:
            self.skip = nn.Sequential(nn.Conv2d(dim_in, dim_out, 1, stride, bias=False), norm(dim_out))

    def forward(self, x: Float[Tensor, "n d_in h w"]) -> Float[Tensor, "n d_out h2 w2"]:
        """Residual update, at half the resolution for a stride of 2."""
        return nn.functional.relu(self.skip(x) + self.branch(x))

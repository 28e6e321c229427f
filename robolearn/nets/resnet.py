"""ResNet-18 without its head, with GroupNorm (He et al. 2016, table 1; Wu & He 2018)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

GROUP = 8  # channels that are normalized together


def norm(channels: int) -> nn.GroupNorm:
    """Normalize each image by itself: batch statistics disagree with a moving average of the weights."""
    return nn.GroupNorm(channels // GROUP, channels)


def resnet18(channels: int, width: int) -> tuple[nn.Sequential, int]:
    """Build the trunk, images [n, channels, h, w] to maps [n, 8 width, h / 32, w / 32].

    Returns:
        The trunk and the channels of its maps.
    """
    stem = (nn.Conv2d(channels, width, 7, 2, 3, bias=False), norm(width), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    blocks, dim_in = [], width
    for stage in range(4):
        dim_out = width * 2**stage
        blocks += [BasicBlock(dim_in, dim_out, stride=2 if stage else 1), BasicBlock(dim_out, dim_out, stride=1)]
        dim_in = dim_out
    return nn.Sequential(*stem, *blocks), dim_in


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions, plus the (projected) input."""

    def __init__(self, dim_in: int, dim_out: int, stride: int):
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

"""1-D U-Net: temporal convolutions over the chunk, conditioned by FiLM (Chi et al. 2023, section 4.1; Janner et al. 2022).

Features are kept as [b, t, channels] and a convolution is one matrix product over shifted copies of the chunk:
chunks are short (4 to 64 steps), where this is faster than a general convolution routine and where FiLM and the
normalisation work on contiguous channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robolearn.nets.backbone import FiLM, Shapes, TimeEmbedding


@dataclass(frozen=True)
class UNetConfig:
    """1-D convolutional U-Net over the chunk, conditioned by FiLM."""

    widths: tuple[int, ...] = (64, 128, 256)
    """Channels at each resolution, from fine to coarse; the time axis is halved between them."""
    kernel_size: int = 5
    """Odd number of steps a convolution sees."""
    num_groups: int = 8
    """Groups of the group normalisation; divides every width."""
    time_dim: int = 128
    """Channels of the time embedding."""

    def __post_init__(self) -> None:
        if not self.widths or any(w % self.num_groups for w in self.widths):
            raise ValueError(f"unet: widths {self.widths} must be multiples of num_groups {self.num_groups}")
        if self.kernel_size % 2 == 0:
            raise ValueError(f"unet: kernel_size {self.kernel_size} must be odd")

    def build(self, shapes: Shapes) -> UNet:
        """Build the network."""
        return UNet(self, shapes)


class UNet(nn.Module):
    """Two residual blocks per resolution down, two at the bottom, two per resolution up."""

    def __init__(self, cfg: UNetConfig, shapes: Shapes):
        super().__init__()
        self.stride = 2 ** (len(cfg.widths) - 1)
        self.time = TimeEmbedding(shapes.num_times, cfg.time_dim)
        cond_dim = cfg.time_dim + shapes.obs_horizon * shapes.cond_dim
        bottom = cfg.widths[-1]

        def pair(dim_in: int, dim_out: int) -> nn.ModuleList:
            return nn.ModuleList(
                ResidualBlock(d, dim_out, cond_dim, cfg.kernel_size, cfg.num_groups)
                for d in (dim_in, dim_out)
            )

        ins = (shapes.dim_in, *cfg.widths[:-1])
        self.down = nn.ModuleList(pair(d_in, d_out) for d_in, d_out in zip(ins, cfg.widths, strict=True))
        self.shrink = nn.ModuleList(Conv(d, d, 3, stride=2) for d in cfg.widths[:-1])
        self.middle = pair(bottom, bottom)
        fine_to_coarse = list(zip(cfg.widths[:-1], cfg.widths[1:], strict=True))
        self.up = nn.ModuleList(pair(fine + coarse, fine) for fine, coarse in reversed(fine_to_coarse))
        self.head = nn.ModuleList(
            [Conv(cfg.widths[0], cfg.widths[0], cfg.kernel_size), Norm(cfg.widths[0], cfg.num_groups)]
        )
        self.out = nn.Linear(cfg.widths[0], shapes.dim_out)

    def forward(
        self,
        x: Float[Tensor, "b t d_in"],
        cond: Float[Tensor, "b o c"],
        time: Float[Tensor, "b k"] | None = None,
    ) -> Float[Tensor, "b t d_out"]:
        """See Backbone. Any horizon works: it is padded to a multiple of the total stride and cut again."""
        horizon = x.shape[1]
        h = nn.functional.pad(x, (0, 0, 0, -horizon % self.stride))
        c = nn.functional.silu(torch.cat([self.time(time, len(x)), cond.flatten(1)], dim=1))
        skips: list[Tensor] = []
        for level, blocks in enumerate(self.down):
            h = run(blocks, h, c)
            if level < len(self.shrink):
                skips.append(h)
                h = self.shrink[level](h)
        h = run(self.middle, h, c)
        for blocks in self.up:
            h = h.repeat_interleave(2, dim=1)
            h = run(blocks, torch.cat([h, skips.pop()], dim=2), c)
        for layer in self.head:
            h = layer(h)
        return self.out(nn.functional.silu(h))[:, :horizon]


def run(blocks: nn.ModuleList, h: Tensor, c: Tensor) -> Tensor:
    """Apply the blocks in turn."""
    for block in blocks:
        h = block(h, c)
    return h


class ResidualBlock(nn.Module):
    """conv, norm, silu, FiLM, conv, norm, silu, plus the (projected) input."""

    def __init__(self, dim_in: int, dim_out: int, cond_dim: int, kernel_size: int, num_groups: int):
        super().__init__()
        self.conv1, self.norm1 = Conv(dim_in, dim_out, kernel_size), Norm(dim_out, num_groups)
        self.film = FiLM(cond_dim, dim_out)
        self.conv2, self.norm2 = Conv(dim_out, dim_out, kernel_size), Norm(dim_out, num_groups)
        self.skip = nn.Linear(dim_in, dim_out) if dim_in != dim_out else nn.Identity()

    def forward(self, x: Float[Tensor, "b t d_in"], c: Float[Tensor, "b c"]) -> Float[Tensor, "b t d_out"]:
        """Residual update at one resolution."""
        h = self.film(nn.functional.silu(self.norm1(self.conv1(x))), c)
        return self.skip(x) + nn.functional.silu(self.norm2(self.conv2(h)))


class Conv(nn.Module):
    """Convolution over time with zero padding: output step s sees input steps s*stride - k//2 ... s*stride + k//2."""

    def __init__(self, dim_in: int, dim_out: int, kernel_size: int, stride: int = 1):
        super().__init__()
        self.kernel_size, self.stride = kernel_size, stride
        self.linear = nn.Linear(kernel_size * dim_in, dim_out)

    def forward(self, x: Float[Tensor, "b t d_in"]) -> Float[Tensor, "b s d_out"]:
        """Convolve; with stride 2 an even number of steps is halved."""
        horizon, half = x.shape[1], self.kernel_size // 2
        padded = nn.functional.pad(x, (0, 0, half, half))
        shifted = [padded[:, k : k + horizon : self.stride] for k in range(self.kernel_size)]
        return self.linear(torch.cat(shifted, dim=2))


class Norm(nn.Module):
    """Group normalisation over (time, channels of the group), for features kept as [b, t, d]."""

    def __init__(self, channels: int, num_groups: int):
        super().__init__()
        self.norm = nn.GroupNorm(num_groups, channels)

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Normalise each group over time and its channels."""
        return self.norm(x.transpose(1, 2)).transpose(1, 2)

"""1-D U-Net: temporal convolutions over the chunk, conditioned by FiLM.

Source: Chi et al. 2023, section 4.1; Janner et al. 2022.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robolearn.errors import UserError
from robolearn.nets.backbone import BackboneConfig, FiLM, Shapes, TimeEmbedding
from robolearn.nets.sizes import check_sizes


@dataclass(frozen=True)
class UNetConfig(BackboneConfig):
    """1-D convolutional U-Net over the chunk, conditioned by FiLM."""

    widths: tuple[int, ...] = (64, 128, 256)
    """Channels at each resolution, from fine to coarse; the time axis is halved between them."""
    kernel_size: int = 5
    """Odd number of steps a convolution sees."""
    num_groups: int = 8
    """Groups of the group normalization; divides every width."""
    time_dim: int = 128
    """Channels of the time embedding."""

    def __post_init__(self) -> None:
        check_sizes("unet", num_groups=self.num_groups, kernel_size=self.kernel_size, time_dim=self.time_dim)
        for width in self.widths:
            check_sizes("unet", width=width)
        if not self.widths or any(w % self.num_groups for w in self.widths):
            raise UserError(f"unet: widths {self.widths} must be multiples of num_groups {self.num_groups}")
        if self.kernel_size % 2 == 0:
            raise UserError(f"unet: kernel_size {self.kernel_size} must be odd")

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
        fine, bottom = cfg.widths[0], cfg.widths[-1]

        def pair(dim_in: int, dim_out: int) -> nn.ModuleList:
            return nn.ModuleList(
                ResidualBlock(d, dim_out, cond_dim, cfg.kernel_size, cfg.num_groups) for d in (dim_in, dim_out)
            )

        ins = (shapes.dim_in, *cfg.widths[:-1])
        self.down = nn.ModuleList(pair(d_in, d_out) for d_in, d_out in zip(ins, cfg.widths, strict=True))
        self.shrink = nn.ModuleList(nn.Conv1d(d, d, 3, stride=2, padding=1) for d in cfg.widths[:-1])
        self.middle = pair(bottom, bottom)
        fine_to_coarse = list(zip(cfg.widths[:-1], cfg.widths[1:], strict=True))
        self.up = nn.ModuleList(pair(low + high, low) for low, high in reversed(fine_to_coarse))
        self.head = conv_norm_silu(fine, fine, cfg.kernel_size, cfg.num_groups)
        self.out = nn.Conv1d(fine, shapes.dim_out, 1)

    def forward(
        self,
        x: Float[Tensor, "b t d_in"],
        cond: Float[Tensor, "b o c"],
        time: Float[Tensor, "b k"] | None = None,
    ) -> Float[Tensor, "b t d_out"]:
        """See Backbone. Any horizon works: it is padded to a multiple of the total stride and cut again."""
        horizon = x.shape[1]
        h = nn.functional.pad(x.transpose(1, 2), (0, -horizon % self.stride))  # [b, d_in, t]
        c = nn.functional.silu(torch.cat([self.time(time, len(x)), cond.flatten(1)], dim=1))
        skips: list[Tensor] = []
        for level, blocks in enumerate(self.down):
            h = run(blocks, h, c)
            if level < len(self.shrink):
                skips.append(h)
                h = self.shrink[level](h)
        h = run(self.middle, h, c)
        for blocks in self.up:
            h = h.repeat_interleave(2, dim=2)
            h = run(blocks, torch.cat([h, skips.pop()], dim=1), c)
        return self.out(self.head(h))[:, :, :horizon].transpose(1, 2)


def run(blocks: Any, h: Tensor, c: Tensor) -> Tensor:
    """Apply the blocks in turn."""
    for block in blocks:
        h = block(h, c)
    return h


def conv_norm_silu(dim_in: int, dim_out: int, kernel_size: int, num_groups: int) -> nn.Sequential:
    """Convolution over time that keeps the horizon, group normalization, SiLU."""
    conv = nn.Conv1d(dim_in, dim_out, kernel_size, padding=kernel_size // 2)
    return nn.Sequential(conv, nn.GroupNorm(num_groups, dim_out), nn.SiLU())


class ResidualBlock(nn.Module):
    """Two convolutions with FiLM between them, plus the (projected) input."""

    def __init__(self, dim_in: int, dim_out: int, cond_dim: int, kernel_size: int, num_groups: int):
        super().__init__()
        self.first = conv_norm_silu(dim_in, dim_out, kernel_size, num_groups)
        self.film = FiLM(cond_dim, dim_out)
        self.second = conv_norm_silu(dim_out, dim_out, kernel_size, num_groups)
        self.skip = nn.Conv1d(dim_in, dim_out, 1) if dim_in != dim_out else nn.Identity()

    def forward(self, x: Float[Tensor, "b d_in t"], c: Float[Tensor, "b c"]) -> Float[Tensor, "b d_out t"]:
        """Residual update at one resolution."""
        return self.skip(x) + self.second(self.film(self.first(x), c))

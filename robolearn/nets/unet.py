"""1-D U-Net: temporal convolutions over the chunk, conditioned by FiLM.

Source: Chi et al. 2023, section 4.1; Janner et al. 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

from robolearn.errors import UserError
from robolearn.nets.backbone import (
    BackboneConfig,
    Conditioned,
    Factors,
    FiLM,
    Shapes,
    TimeEmbedding,
    ahead,
    as_factors,
    by_step,
    modulate,
)
from robolearn.nets.sizes import check_sizes
from robolearn.nets.unet_rows import Remembered, RowsConvolution, RowUNet, takes_rows


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

    time_axis: ClassVar[int] = 2
    channel_axis: ClassVar[int] = 1

    def __init__(self, cfg: UNetConfig, shapes: Shapes):
        super().__init__()
        self._rows = Remembered()
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
        c = nn.functional.silu(torch.cat([self.time(time, len(x)), cond.flatten(1)], dim=1))
        return evaluate(self._parts(x), x, [block.film(c) for block in self._blocks()])

    def condition(self, cond: Float[Tensor, "b o c"], times: Float[Tensor, "s k"]) -> Conditioned:
        """See `backbone.condition`: FiLM's layers are sums of a product with the time and one with the observations."""
        layers = [block.film.linear for block in self._blocks()]
        widths = self.time.width, cond[0].numel()
        weights = [layer.weight.split(widths, dim=1) for layer in layers]  # of the time, of the observations
        c = nn.functional.silu(cond.flatten(1))
        of_obs = [linear(c, weight, layer.bias) for (_, weight), layer in zip(weights, layers, strict=True)]  # [b, 2 d]

        def prepare(times: Tensor) -> list[tuple[Factors, ...]]:
            c = nn.functional.silu(self.time(times, len(times)))
            of_time = [linear(c, weight)[:, None] for weight, _ in weights]  # [n, 1, 2 d]
            return by_step([as_factors(one + other) for one, other in zip(of_time, of_obs, strict=True)])

        at, parts = ahead(prepare, times, len(cond)), self._parts(cond)
        return lambda x, step: evaluate(parts, x, at(step))

    def _blocks(self) -> list[ResidualBlock]:
        """In the order in which a chunk passes them."""
        pairs: Any = (*self.down, self.middle, *self.up)
        return [block for pair in pairs for block in pair]

    def _parts(self, like: Tensor) -> UNet | RowUNet:
        """What as many chunks as ``like`` has pass through; for one alone the weights are laid out and remembered."""
        if not takes_rows(like):
            return self
        if torch.is_grad_enabled():
            return RowUNet(self, RowsConvolution)
        is_counted = not self.out.weight.is_inference()  # torch counts no changes of what inference mode made
        return self._rows.get(self) if is_counted and len(like) == 1 and not self.training else self

    def train(self, mode: bool = True) -> UNet:
        """See torch."""
        self._rows.forget()
        return super().train(mode)


def evaluate(parts: UNet | RowUNet, x: Float[Tensor, "b t d_in"], films: Sequence[Factors]) -> Tensor:
    """Chunks [b, t, d_out] of a whole network, with a pair of factors for each block."""
    horizon = x.shape[1]
    x = nn.functional.pad(x, (0, 0, 0, -horizon % 2 ** len(parts.shrink)))
    if not isinstance(parts, RowUNet):
        return pass_through(parts, x.transpose(1, 2), films)[:, :, :horizon].transpose(1, 2)
    if parts.is_single:
        return pass_through(parts, x[0], films)[None, :horizon]
    return pass_through(parts, x, [(scale[:, None], shift[:, None]) for scale, shift in films])[:, :horizon]


def pass_through(parts: Any, h: Tensor, films: Sequence[Factors]) -> Tensor:
    """Down, along the bottom, and up with what was there on the way down."""
    skips, factors = list[Tensor](), iter(films)

    def run(blocks: Any, h: Tensor) -> Tensor:
        for block in blocks:
            h = block(h, next(factors))
        return h

    for level, blocks in enumerate(parts.down):
        h = run(blocks, h)
        if level < len(parts.shrink):
            skips.append(h)
            h = parts.shrink[level](h)
    h = run(parts.middle, h)
    for blocks in parts.up:
        h = torch.cat([h.repeat_interleave(2, dim=parts.time_axis), skips.pop()], dim=parts.channel_axis)
        h = run(blocks, h)
    return parts.out(parts.head(h))


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

    def forward(self, x: Float[Tensor, "b d_in t"], film: Factors) -> Float[Tensor, "b d_out t"]:
        """Residual update at one resolution."""
        return self.skip(x) + self.second(modulate(self.first(x), film))

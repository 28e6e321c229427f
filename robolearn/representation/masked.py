"""A masked autoencoder: what is hidden of an image is to be told from the rest."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from robolearn.errors import UserError
from robolearn.nets.vision import VisionConfig
from robolearn.representation.decoder import Decoder
from robolearn.representation.method import GRAY, Method, MethodConfig, Shape, levels, pixels


@dataclass(frozen=True)
class MaskedConfig(MethodConfig):
    """Reconstruct the hidden patches of an image from the features of the others."""

    patch: int = 8
    """Side of a patch [px]."""
    hidden: float = 0.5
    """Share of the patches that are hidden, in (0, 1)."""

    def __post_init__(self) -> None:
        if self.patch < 1:
            raise UserError(f"`patch` {self.patch} must be at least 1")
        if not 0 < self.hidden < 1:
            raise UserError(f"`hidden` {self.hidden:g} must be in (0, 1)")

    def build(self, vision: VisionConfig, shape: Shape) -> Method:
        """See MethodConfig."""
        return Masked(vision, shape, self)


class Masked(Method):
    """Mean squared error of the hidden pixels, which the network sees as gray; pixels are in [-1, 1].

    The network is a convolution, so hidden patches are gray and not left out, as in SimMIM (Xie et al. 2022,
    arXiv:2111.09886).

    Source: He et al. 2022, arXiv:2111.06377.
    """

    def __init__(self, vision: VisionConfig, shape: Shape, cfg: MaskedConfig):
        super().__init__()
        self.decoder = Decoder(vision.features, shape)
        self.shape, self.patch = shape, cfg.patch
        self.grid = math.ceil(shape[0] / cfg.patch), math.ceil(shape[1] / cfg.patch)
        count = math.prod(self.grid)
        if count < 2:
            raise UserError(f"`patch` {cfg.patch} makes one patch of an image of {shape[0]}x{shape[1]}; choose less")
        self.num_hidden = min(max(1, round(cfg.hidden * count)), count - 1)

    def loss(self, network: nn.Module, images: Tensor, left_out: Tensor, generator: torch.Generator) -> Tensor:
        """See Method."""
        hidden = self.hide(len(images), generator)
        error = self.decoder(network(covered(images, hidden))).float() - pixels(images)
        return error[hidden].square().mean()

    def hide(self, count: int, generator: torch.Generator) -> Bool[Tensor, "n h w"]:
        """Draw which pixels are hidden: equally many patches of each image; those at its end may be smaller."""
        order = torch.rand(count, math.prod(self.grid), generator=generator, device=generator.device).argsort(1)
        patches = torch.zeros_like(order, dtype=torch.bool).scatter_(1, order[:, : self.num_hidden], True)
        sides = patches.unflatten(1, self.grid)
        whole = sides.repeat_interleave(self.patch, 1).repeat_interleave(self.patch, 2)
        return whole[:, : self.shape[0], : self.shape[1]]

    def show(
        self, network: nn.Module, frames: Tensor, gallery: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """What the network sees, and the reconstruction of all of it."""
        seen = covered(frames, self.hide(len(frames), generator))
        return {"seen": seen.to(torch.uint8), "reconstructed": levels(self.decoder(network(seen)))}


def covered(images: Tensor, hidden: Bool[Tensor, "n h w"]) -> Tensor:
    """Images, 0 .. 255, whose hidden pixels are those that a network sees as 0."""
    return images.float().masked_fill(hidden[..., None], GRAY)

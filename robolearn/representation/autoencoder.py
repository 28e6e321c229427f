"""An autoencoder: what the features of an image keep is what it can be reconstructed from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robolearn.nets.vision import VisionConfig
from robolearn.representation.decoder import Decoder
from robolearn.representation.method import Method, MethodConfig, Shape, levels, pixels


@dataclass(frozen=True)
class AutoencoderConfig(MethodConfig):
    """Reconstruct an image from its features."""

    def build(self, vision: VisionConfig, shape: Shape) -> Method:
        """See MethodConfig."""
        return Autoencoder(vision, shape)


class Autoencoder(Method):
    """Mean squared error of the reconstruction, pixels being in [-1, 1].

    Sources: Hinton & Salakhutdinov 2006; through keypoints, as here, Finn et al. 2016, arXiv:1509.06113.
    """

    def __init__(self, vision: VisionConfig, shape: Shape):
        super().__init__()
        self.decoder = Decoder(vision.features, shape)

    def loss(self, network: nn.Module, images: Tensor, left_out: Tensor, generator: torch.Generator) -> Tensor:
        """See Method."""
        return nn.functional.mse_loss(self.decoder(network(images)).float(), pixels(images))

    def show(
        self, network: nn.Module, frames: Tensor, gallery: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The reconstructions."""
        return {"reconstructed": levels(self.decoder(network(frames)))}

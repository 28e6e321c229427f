"""From the features of an image back to the image."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor, nn

from robolearn.nets.resnet import norm

CHANNELS = (32, 32, 16)  # from the coarsest maps to those before the image
COARSE = 2 ** len(CHANNELS)  # pixels of the image along a pixel of the coarsest maps


class Decoder(nn.Module):
    """Features -> coarse maps -> three times twice their resolution -> image.

    Args:
        features: Numbers.
        shape: Of the image, [h, w, c], of any size.
    """

    def __init__(self, features: int, shape: tuple[int, ...]):
        super().__init__()
        self.shape = shape
        self.grid = CHANNELS[0], math.ceil(shape[0] / COARSE), math.ceil(shape[1] / COARSE)
        layers: list[nn.Module] = []
        for dim_in, dim_out in zip(CHANNELS, (*CHANNELS[1:], None), strict=True):
            layers += [norm(dim_in), nn.ReLU(), nn.Upsample(scale_factor=2)]
            layers += [nn.Conv2d(dim_in, dim_out or shape[2], 3, 1, 1)]
        self.spread = nn.Linear(features, math.prod(self.grid))
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Float[Tensor, "n f"]) -> Float[Tensor, "n h w c"]:
        """Decode; pixels are -1 .. 1 where the decoder has learned to stay there."""
        maps = self.layers(self.spread(features).unflatten(1, self.grid))
        return maps[:, :, : self.shape[0], : self.shape[1]].movedim(1, 3)

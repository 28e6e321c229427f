"""What codes leave over of a chunk: offsets of all its steps, from features that the codes shift."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from robolearn.nets.interval import Interval


class Offset(nn.Module):
    """What is added to the codes' chunk: each code shifts the features of every step before they become an action.

    Args:
        num_levels: Codes per chunk.
        num_codes: Values of a code.
        width: Features per step.
        chunk_shape: Steps and action dimensions.
    """

    def __init__(self, num_levels: int, num_codes: int, width: int, chunk_shape: tuple[int, int]):
        super().__init__()
        horizon, action_dim = chunk_shape
        self.shift = nn.ModuleList(nn.Embedding(num_codes, horizon * width) for _ in range(num_levels))
        self.out = nn.Linear(width, action_dim)

    def forward(self, features: Float[Tensor, "b t w"], codes: Int[Tensor, "b l"]) -> Float[Tensor, "b t a"]:
        """Offsets from features and the codes."""
        return self.out(nn.functional.silu(self.shifted(features, codes))).float()

    def shifted(self, features: Float[Tensor, "b t w"], codes: Int[Tensor, "b l"]) -> Float[Tensor, "b t w"]:
        """Features as codes shift them."""
        for shift, code in zip(self.shift, codes.unbind(1), strict=True):
            features = features + shift(code).view_as(features)
        return features

    def interval(self, features: Interval, codes: Int[Tensor, "b l"]) -> Interval:
        """Bounds on the offsets."""
        shifted = Interval(self.shifted(features.center, codes), features.radius)
        return shifted.activated(nn.SiLU()).linear(self.out)

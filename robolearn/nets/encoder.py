"""Observation encoders: named observations to condition tokens."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robolearn.errors import UserError
from robolearn.nets.vision import VisionConfig
from robolearn.types import is_image


class ObsEncoder(nn.Module):
    """Low-dimensional observations as they are, each camera's images through a network of its own.

    Args:
        shapes: Key -> shape of one observation.
        angles: See StateEncoder.
        vision: The cameras' networks.

    Raises:
        UserError: An observation is neither low-dimensional nor an image, or an angle is not a dimension of its key.
    """

    def __init__(self, shapes: dict[str, tuple[int, ...]], angles: dict[str, tuple[int, ...]], vision: VisionConfig):
        super().__init__()
        self.cameras = tuple(key for key, shape in shapes.items() if is_image(shape))
        self.state = StateEncoder({key: shape for key, shape in shapes.items() if key not in self.cameras}, angles)
        self.networks = nn.ModuleList(vision.build(shapes[key][-1]) for key in self.cameras)
        self.cond_dim = self.state.cond_dim + len(self.cameras) * vision.features

    def forward(self, normalized: dict[str, Tensor], obs: dict[str, Tensor]) -> Float[Tensor, "b o c"]:
        """Encode observations: images as they are, the others given normalized and in physical units."""
        tokens = [self.state(normalized, obs)] if self.state.keys else []
        for key, network in zip(self.cameras, self.networks, strict=True):
            tokens.append(network(obs[key].flatten(0, 1)).unflatten(0, obs[key].shape[:2]))
        return torch.cat(tokens, dim=2)


class StateEncoder(nn.Module):
    """Concatenate low-dimensional observations: key -> [b, o, *shape] becomes [b, o, c].

    An angle enters as its sine and cosine, so that pi and -pi are the same input.

    Args:
        shapes: Key -> shape of one observation.
        angles: Key -> dimensions of the flattened observation that are angles in rad.

    Raises:
        UserError: An observation has three axes or more, or an angle is not a dimension of its key.
    """

    def __init__(self, shapes: dict[str, tuple[int, ...]], angles: dict[str, tuple[int, ...]]):
        super().__init__()
        sizes = {key: int(torch.Size(shape).numel()) for key, shape in shapes.items()}
        for key, shape in shapes.items():
            if len(shape) >= 3:
                raise UserError(
                    f"observation {key!r} has shape {shape}, neither low-dimensional nor an image [h, w, 1, 3 or 4]"
                )
        for key, dims in angles.items():
            if key not in sizes or any(not 0 <= dim < sizes[key] for dim in dims):
                raise UserError(f"angle {key}:{dims} is no dimension of the observations; they have {sizes}")
        self.keys = tuple(shapes)
        self.angles = {key: tuple(angles[key]) for key in shapes if angles.get(key)}
        self.cond_dim = sum(sizes.values()) + sum(map(len, self.angles.values()))
        for i, key in enumerate(shapes):  # beside the weights, as an index from the host would be waited for
            dims = self.angles.get(key, ())
            others = [dim for dim in range(sizes[key]) if dim not in dims]
            self.register_buffer(f"angles_{i}", torch.tensor(dims, dtype=torch.int64), persistent=False)
            self.register_buffer(f"others_{i}", torch.tensor(others, dtype=torch.int64), persistent=False)

    def forward(self, normalized: dict[str, Tensor], obs: dict[str, Tensor]) -> Float[Tensor, "b o c"]:
        """Encode observations, given normalized and in physical units."""
        features = []
        for i, key in enumerate(self.keys):
            values = normalized[key].flatten(2)
            if key not in self.angles:
                features.append(values)
                continue
            angles = obs[key].flatten(2).index_select(2, self.get_buffer(f"angles_{i}"))
            others = values.index_select(2, self.get_buffer(f"others_{i}"))
            features += [others, angles.sin(), angles.cos()]
        return torch.cat(features, dim=2)

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
        quaternions: See StateEncoder.

    Raises:
        UserError: An observation is neither low-dimensional nor an image, an angle is not a dimension of its key, or
            an image is too small to be seen so.
    """

    def __init__(
        self,
        shapes: dict[str, tuple[int, ...]],
        angles: dict[str, tuple[int, ...]],
        vision: VisionConfig,
        quaternions: dict[str, tuple[int, ...]] | None = None,
    ):
        super().__init__()
        self.shapes = dict(shapes)
        self.cameras = tuple(key for key, shape in shapes.items() if is_image(shape))
        numbers = {key: shape for key, shape in shapes.items() if key not in self.cameras}
        self.state = StateEncoder(numbers, angles, quaternions)
        for camera in self.cameras:
            vision.seen(camera, shapes[camera])  # refuses what does not fit
        self.networks = nn.ModuleList(vision.build(shapes[key][-1]) for key in self.cameras)
        self.cond_dim = self.state.cond_dim + len(self.cameras) * vision.features

    def by_camera(self) -> dict[str, nn.Module]:
        """Camera -> its network."""
        return dict(zip(self.cameras, self.networks, strict=True))

    def forward(self, normalized: dict[str, Tensor], obs: dict[str, Tensor]) -> Float[Tensor, "b o c"]:
        """Encode observations: images as they are, the others given normalized and in physical units."""
        tokens = [self.state(normalized, obs)] if self.state.keys else []
        for key, network in self.by_camera().items():
            tokens.append(network(obs[key].flatten(0, 1)).unflatten(0, obs[key].shape[:2]))
        return torch.cat(tokens, dim=2)


class StateEncoder(nn.Module):
    """Concatenate low-dimensional observations: key -> [b, o, *shape] becomes [b, o, c].

    An angle enters as its sine and cosine, so that pi and -pi are the same input, and a quaternion as two columns of
    its rotation's matrix (Zhou et al. 2019), the same for q and -q.

    Args:
        shapes: Key -> shape of one observation.
        angles: Key -> dimensions of the flattened observation that are angles in rad.
        quaternions: Key -> first of each four neighboring dimensions that are a quaternion, in any order: in another
            one it is another rotation, from which nothing is lost either.

    Raises:
        UserError: An observation has three axes or more, an angle or quaternion is not of its key, or two overlap.
    """

    def __init__(
        self,
        shapes: dict[str, tuple[int, ...]],
        angles: dict[str, tuple[int, ...]],
        quaternions: dict[str, tuple[int, ...]] | None = None,
    ):
        super().__init__()
        sizes = {key: int(torch.Size(shape).numel()) for key, shape in shapes.items()}
        quaternions = quaternions or {}
        for key, shape in shapes.items():
            if len(shape) >= 3:
                raise UserError(
                    f"observation {key!r} has shape {shape}, neither low-dimensional nor an image [h, w, 1, 3 or 4]"
                )
        for what, given, width in (("angle", angles, 1), ("quaternion", quaternions, 4)):
            for key, dims in given.items():
                if key not in sizes or any(not 0 <= dim <= sizes[key] - width for dim in dims):
                    raise UserError(f"{what} {key}:{dims} is no dimension of the observations; they have {sizes}")
        self.keys = tuple(shapes)
        self.turning = tuple(key for key in shapes if angles.get(key) or quaternions.get(key))
        self.cond_dim = sum(sizes.values())
        for i, key in enumerate(shapes):  # beside the weights, as an index from the host would be waited for
            plain, firsts = list(angles.get(key, ())), quaternions.get(key, ())
            fours = [first + k for first in firsts for k in range(4)]
            if len({*plain, *fours}) < len(plain) + len(fours):
                raise UserError(f"observation {key!r}: angles {plain} and quaternions from {list(firsts)} overlap")
            others = [dim for dim in range(sizes[key]) if dim not in {*plain, *fours}]
            self.cond_dim += len(plain) + 2 * len(firsts)
            for name, dims in (("angles", plain), ("fours", fours), ("others", others)):
                self.register_buffer(f"{name}_{i}", torch.tensor(dims, dtype=torch.int64), persistent=False)

    def forward(self, normalized: dict[str, Tensor], obs: dict[str, Tensor]) -> Float[Tensor, "b o c"]:
        """Encode observations, given normalized and in physical units."""
        features = []
        for i, key in enumerate(self.keys):
            values, raw = normalized[key].flatten(2), obs[key].flatten(2)
            if key not in self.turning:
                features.append(values)
                continue
            angles, fours, others = (self.get_buffer(f"{name}_{i}") for name in ("angles", "fours", "others"))
            turns = raw.index_select(2, angles)
            features += [values.index_select(2, others), turns.sin(), turns.cos()]
            if len(fours):
                features.append(rotation_columns(raw.index_select(2, fours).unflatten(2, (-1, 4))).flatten(2))
        return torch.cat(features, dim=2)


def rotation_columns(q: Float[Tensor, "... 4"]) -> Float[Tensor, "... 6"]:
    """Two columns of the matrix of the rotation that a quaternion w, x, y, z of any length above 0 is."""
    w, x, y, z = (q / q.norm(dim=-1, keepdim=True).clamp_min(1e-9)).unbind(-1)
    first = 1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)
    second = 2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)
    return torch.stack([*first, *second], dim=-1)

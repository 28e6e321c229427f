"""What a method of translation is: generators of one camera's images, critics, and what both lose."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robolearn.errors import UserError
from robolearn.nets.sizes import check_sizes
from robolearn.translation.networks import MIN_SIDE, Networks, Shape, critic, generator
from robolearn.translation.pool import ImagePool

Side = Literal["source", "target"]
Images = Mapping[str, Float[Tensor, "n c h w"]]
"""Side -> images of it, pixels in [-1, 1]."""


@dataclass(frozen=True)
class MethodConfig(ABC):
    """A method and its options; one class per method."""

    networks: Networks = "resnet"
    """resnet, with a critic of patches; dcgan, the small setting, with a critic of whole images."""
    width: int = 16
    """Channels of the first layers of generators and critics; 64 in the paper, for images of 256 pixels."""
    blocks: int = 4
    """Residual blocks of a resnet generator; 9 in the paper."""

    arrives_at: ClassVar[tuple[Side, ...]] = ()
    """Sides that images are translated to."""

    def __post_init__(self) -> None:
        if self.networks not in get_args(Networks):
            raise UserError(f"`networks` {self.networks}: choose from {', '.join(get_args(Networks))}")
        check_sizes("translation", width=self.width, blocks=self.blocks)

    def generators(self, shape: Shape) -> nn.ModuleDict:
        """Side -> generator of its images, for images [h, w, c] of a camera."""
        parts = self.networks, shape[2], self.width, self.blocks
        return nn.ModuleDict({side: generator(*parts) for side in self.arrives_at})

    @abstractmethod
    def build(self, shape: Shape) -> Method:
        """Build what is trained for one camera.

        Args:
            shape: Of its images, [h, w, c].
        """


@dataclass(frozen=True)
class Made:
    """What generators made of a batch.

    Attributes:
        loss: What they lose.
        details: Parts of it, by name.
        images: Side -> images that arrived there, without a gradient.
    """

    loss: Float[Tensor, ""]
    details: dict[str, Tensor]
    images: dict[str, Tensor]


class Method(nn.Module, ABC):
    """Generators and critics of one camera; least squares as their game (Mao et al. 2017, arXiv:1611.04076).

    Args:
        cfg: Networks and options.
        shape: Of an image, [h, w, c].
        pool: Images that a critic remembers.
    """

    def __init__(self, cfg: MethodConfig, shape: Shape, pool: int):
        super().__init__()
        self.generators = cfg.generators(shape)
        self.critics = nn.ModuleDict({side: critic(cfg.networks, shape, cfg.width) for side in cfg.arrives_at})
        size = shape[2], shape[0], shape[1]
        self.pools = nn.ModuleDict({side: ImagePool(pool, size) for side in cfg.arrives_at})

    @abstractmethod
    def generator_loss(self, images: Images, random: torch.Generator) -> Made:
        """What the generators lose on a batch of both sides, against critics that hold still."""

    def makers(self) -> Iterator[nn.Parameter]:
        """What the generators' loss trains."""
        yield from self.generators.parameters()

    def fooling_loss(self, made: Images) -> Tensor:
        """What generators lose where critics tell their images from recorded ones."""
        with still(self.critics):
            return torch.stack([least_squares(self.critics[side](made[side]), 1.0) for side in self.critics]).sum()

    def critic_loss(self, images: Images, made: Images, random: torch.Generator) -> Tensor:
        """What the critics lose; they see made images through their pools."""
        losses = []
        for side, judge in self.critics.items():
            pool = self.pools[side]
            assert isinstance(pool, ImagePool)
            at_recorded = least_squares(judge(images[side]), 1.0)
            at_made = least_squares(judge(pool.mix(made[side], random)), 0.0)
            losses.append(0.5 * (at_recorded + at_made))
        return torch.stack(losses).sum()


def least_squares(scores: Tensor, wanted: float) -> Float[Tensor, ""]:
    """Mean squared distance of a critic's scores from what they are to be."""
    return (scores - wanted).square().mean()


@contextmanager
def still(module: nn.Module) -> Iterator[None]:
    """Let gradients flow through a module, but not to its weights."""
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)


def check_weight(name: str, value: float, *, least: float = 0.0) -> None:
    """Raise a UserError unless the weight of a loss is a number of at least `least`."""
    if not (math.isfinite(value) and value >= least):
        raise UserError(f"`{name}` {value:g} must be a number, at least {least:g}")


def check_shape(camera: str, shape: Shape) -> None:
    """Raise a UserError unless images are large enough."""
    if min(shape[:2]) < MIN_SIDE:
        raise UserError(f"images of {camera!r} are {shape[0]}x{shape[1]}; at least {MIN_SIDE} pixels are needed a side")

"""Networks that make images of images, and those that tell made ones from recorded ones.

Images are [n, c, h, w] with pixels in [-1, 1]. Sizes are those of the papers, scaled to images of 64 to 96 pixels.

Sources: resnet and the critic of patches, Zhu et al. 2017, arXiv:1703.10593, appendix 7.2; dcgan, Radford et al. 2016,
arXiv:1511.06434, with the generator's random vector replaced by an encoder of strided convolutions.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

Networks = Literal["resnet", "dcgan"]
Shape = tuple[int, ...]

MIN_SIDE = 32  # pixels; below, a critic has no maps left
PATCH_LAYERS = 2  # of stride 2: a patch has 34 pixels, as large a part of 96 as the paper's 70 are of 256
DCGAN_LAYERS = 3  # of stride 2 in the generator; its critic has one more
LEAK = 0.2
STD = 0.02  # of the weights at first, in both papers


class Generator(nn.Module):
    """Image -> image of the same size.

    Args:
        stages: The encoder, whose maps `features` gives, one after another.
        rest: From the last of them to an image.
        multiple: Sides of the padded image, in pixels, are multiples of it.
    """

    def __init__(self, stages: Sequence[nn.Module], rest: nn.Module, multiple: int):
        super().__init__()
        self.stages, self.rest, self.multiple = nn.ModuleList(stages), rest, multiple

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Translate."""
        return self.image(self.features(images), images)

    def features(self, images: Float[Tensor, "n c h w"]) -> list[Tensor]:
        """Maps [n, c, h, w] of every stage."""
        beyond = [-side % self.multiple for side in images.shape[2:]]
        maps = [nn.functional.pad(images, (0, beyond[1], 0, beyond[0]), mode="replicate")]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]

    def image(self, maps: Sequence[Tensor], images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """The translations of images, out of the maps that `features` gave of them."""
        height, width = images.shape[2:]
        return self.rest(maps[-1])[:, :, :height, :width]


def generator(networks: Networks, channels: int, width: int, blocks: int) -> Generator:
    """Build a generator.

    Args:
        networks: Which.
        channels: Of an image.
        width: Channels of the first layer.
        blocks: Residual blocks; dcgan has none.
    """
    made = resnet_generator(channels, width, blocks) if networks == "resnet" else dcgan_generator(channels, width)
    return made.apply(begin)


def critic(networks: Networks, shape: Shape, width: int) -> nn.Sequential:
    """Build a critic, which is linear at its end: resnet comes with one score per patch, dcgan with one per image.

    Args:
        networks: Which.
        shape: Of an image, [h, w, c].
        width: Channels of the first layer.
    """
    made = patch_critic(shape[2], width) if networks == "resnet" else dcgan_critic(shape, width)
    return made.apply(begin)


def resnet_generator(channels: int, width: int, blocks: int) -> Generator:
    """c7s1-w, d2w, d4w, R4w ..., u2w, uw, c7s1-c of the paper; the blocks are two stages."""
    half = blocks // 2
    stages = [
        nn.Sequential(nn.ReflectionPad2d(3), *layer(nn.Conv2d(channels, width, 7))),
        nn.Sequential(*layer(nn.Conv2d(width, 2 * width, 3, 2, 1))),
        nn.Sequential(*layer(nn.Conv2d(2 * width, 4 * width, 3, 2, 1))),
        nn.Sequential(*(ResidualBlock(4 * width) for _ in range(half))),
        nn.Sequential(*(ResidualBlock(4 * width) for _ in range(blocks - half))),
    ]
    ups = [layer(nn.ConvTranspose2d(2 * dim, dim, 3, 2, 1, output_padding=1)) for dim in (2 * width, width)]
    last = (nn.ReflectionPad2d(3), nn.Conv2d(width, channels, 7), nn.Tanh())
    return Generator([stage for stage in stages if len(stage)], nn.Sequential(*ups[0], *ups[1], *last), 4)


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions, plus the input; nothing behind the sum."""

    def __init__(self, dim: int):
        super().__init__()
        pad, conv = nn.ReflectionPad2d(1), nn.Conv2d(dim, dim, 3)
        self.branch = nn.Sequential(pad, *layer(conv), pad, nn.Conv2d(dim, dim, 3), nn.InstanceNorm2d(dim))

    def forward(self, x: Float[Tensor, "n d h w"]) -> Float[Tensor, "n d h w"]:
        """Residual update."""
        return x + self.branch(x)


def dcgan_generator(channels: int, width: int) -> Generator:
    """As many strided convolutions down as transposed ones up."""
    dims = [channels, *(width * 2**i for i in range(DCGAN_LAYERS))]
    ups = [nn.ConvTranspose2d(dims[i + 1], dims[i], 4, 2, 1) for i in reversed(range(DCGAN_LAYERS))]
    layers = [module for up in ups[:-1] for module in layer(up)]
    return Generator(halvings(dims), nn.Sequential(*layers, ups[-1], nn.Tanh()), 2**DCGAN_LAYERS)


def patch_critic(channels: int, width: int) -> nn.Sequential:
    """The paper's, with fewer layers: images to a map of scores [n, 1, h', w'], each of a patch."""
    dims = [channels, *(width * 2**i for i in range(PATCH_LAYERS))]
    wide = 2 * dims[-1]
    even = (nn.Conv2d(dims[-1], wide, 4, 1, 1), nn.InstanceNorm2d(wide), nn.LeakyReLU(LEAK))
    return nn.Sequential(*halvings(dims), *even, nn.Conv2d(wide, 1, 4, 1, 1))


def dcgan_critic(shape: Shape, width: int) -> nn.Sequential:
    """Strided convolutions, then one over all that is left: images to [n, 1, 1, 1]."""
    dims = [shape[2], *(width * 2**i for i in range(DCGAN_LAYERS + 1))]
    height, width = (side // 2 ** (DCGAN_LAYERS + 1) for side in shape[:2])
    return nn.Sequential(*halvings(dims), nn.Conv2d(dims[-1], 1, (height, width)))


def layer(conv: nn.Conv2d | nn.ConvTranspose2d) -> tuple[nn.Module, ...]:
    """A convolution, normalized within each image and map, as batches are of one image."""
    return conv, nn.InstanceNorm2d(conv.out_channels), nn.ReLU()


def halvings(dims: Sequence[int]) -> list[nn.Sequential]:
    """Layers of half the resolution each, from one number of channels to the next; the first has no norm."""
    layers = []
    for i, (dim_in, dim_out) in enumerate(pairwise(dims)):
        norms = (nn.InstanceNorm2d(dim_out),) if i else ()
        layers.append(nn.Sequential(nn.Conv2d(dim_in, dim_out, 4, 2, 1), *norms, nn.LeakyReLU(LEAK)))
    return layers


def begin(module: nn.Module) -> None:
    """Draw the weights of a convolution as both papers do."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, STD)
        assert module.bias is not None
        nn.init.zeros_(module.bias)


def seen(images: Tensor) -> Float[Tensor, "n c h w"]:
    """Images [n, h, w, c], 0 .. 255, as these networks see them."""
    return images.movedim(3, 1).float() / 127.5 - 1


def recorded(images: Float[Tensor, "n c h w"]) -> Tensor:
    """Images [n, h, w, c] uint8, of what a generator makes."""
    return ((images.movedim(1, 3) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)

"""Images that a generator made before, for its critic to remember.

Source: Shrivastava et al. 2017, arXiv:1612.07828, section 2.3; half of what is shown as in Zhu et al. 2017.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class ImagePool(nn.Module):
    """Keeps images, and gives some of them in the place of new ones. Its content is part of the state of a training.

    Args:
        size: Images kept; without any, new ones are given as they are.
        shape: Of an image, [c, h, w].

    Attributes:
        images: [size, c, h, w]; the first `count` of them have been filled.
        count: How many there are.
    """

    images: Tensor
    count: Tensor

    def __init__(self, size: int, shape: tuple[int, ...]):
        super().__init__()
        self.register_buffer("images", torch.zeros(size, *shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def mix(self, images: Float[Tensor, "n c h w"], generator: torch.Generator) -> Float[Tensor, "n c h w"]:
        """Take new images, one by one: until the pool is full each is kept and given.

        From then on one of two is given and not kept; the other takes the place of one that was kept, which is given.

        Args:
            images: New ones, without a gradient.
            generator: Decides which.
        """
        size = len(self.images)
        if not size:
            return images
        exchanged = (torch.rand(len(images), generator=generator, device=generator.device) < 0.5).tolist()
        places = torch.randint(size, (len(images),), generator=generator, device=generator.device).tolist()
        given, filled = images.clone(), int(self.count)
        for i, image in enumerate(images):
            if filled < size:
                self.images[filled] = image
                filled += 1
            elif exchanged[i]:
                given[i] = self.images[places[i]]
                self.images[places[i]] = image
        self.count.fill_(filled)
        return given

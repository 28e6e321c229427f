"""Contrastive unpaired translation (CUT): what is at a place of the translation is told from what is elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robolearn.errors import UserError
from robolearn.nets.unallocated import unallocated
from robolearn.translation.method import Images, Made, Method, MethodConfig, Side, check_weight
from robolearn.translation.networks import Generator, Shape

PROJECTED = 64  # channels of the heads; 256 in the paper, as are the places


@dataclass(frozen=True)
class CutConfig(MethodConfig):
    """Translate one way, so that every place of an image is recognized in the translation."""

    nce_weight: float = 1.0
    """Of telling the places of images apart."""
    identity: bool = True
    """Do so for images of the target too, which are to stay as they are."""
    temperature: float = 0.07
    """Of the softmax over similarities, which are in [-1, 1]."""
    places: int = 64
    """Places of an image that are told apart, drawn anew at each step and for each stage of the generator's encoder."""

    arrives_at: ClassVar[tuple[Side, ...]] = ("target",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_weight("nce_weight", self.nce_weight)
        check_weight("temperature", self.temperature, least=1e-3)
        if self.places < 2:
            raise UserError(f"`places` {self.places} must be at least 2")

    def build(self, shape: Shape) -> Cut:
        """See MethodConfig."""
        return Cut(self, shape)


class Cut(Method):
    """L = L_GAN(G) + w / 2 (NCE(x, G(x)) + NCE(y, G(y))), or without the last term L_GAN(G) + w NCE(x, G(x)).

    Features are those of G's own encoder, of every stage, each through a small head that is trained with it.

    Source: Park et al. 2020, arXiv:2007.15651, eq. 4 and 5.
    """

    def __init__(self, cfg: CutConfig, shape: Shape):
        super().__init__(cfg, shape, pool=0)
        self.cfg = cfg
        with torch.no_grad(), unallocated():
            encoder = cfg.generators(shape)["target"]
            assert isinstance(encoder, Generator)
            maps = encoder.features(torch.zeros(1, shape[2], *shape[:2]))
        self.heads = nn.ModuleList(head(stage.shape[1]) for stage in maps)

    @property
    def generator(self) -> Generator:
        """The one there is."""
        generator = self.generators["target"]
        assert isinstance(generator, Generator)
        return generator

    def makers(self) -> Iterator[nn.Parameter]:
        """See Method."""
        yield from super().makers()
        yield from self.heads.parameters()

    def generator_loss(self, images: Images, random: torch.Generator) -> Made:
        """See Method."""
        x, y = images["source"], images["target"]
        shown = torch.cat([x, y]) if self.cfg.identity else x
        seen = self.generator.features(shown)
        made = self.generator.image(seen, shown)
        as_target = made[: len(x)]
        fooling, contrast = self.fooling_loss({"target": as_target}), self.contrast(seen, made, random)
        details = {"fooling": fooling, "contrast": contrast}
        return Made(fooling + self.cfg.nce_weight * contrast, details, {"target": as_target.detach()})

    def contrast(self, seen: Sequence[Tensor], made: Tensor, random: torch.Generator) -> Float[Tensor, ""]:
        """Mean over the stages of telling the places of images, of which maps are given, by those of translations."""
        losses = []
        for project, before, after in zip(self.heads, seen, self.generator.features(made), strict=True):
            spots = before.shape[2] * before.shape[3]
            chosen = torch.randperm(spots, generator=random, device=random.device)[: self.cfg.places]
            keys, queries = (project(maps.flatten(2)[:, :, chosen].movedim(1, 2)) for maps in (before, after))
            losses.append(patch_nce(queries, keys.detach(), self.cfg.temperature))
        return torch.stack(losses).mean()


def head(dim: int) -> nn.Sequential:
    """From the channels of maps to what is compared."""
    return nn.Sequential(nn.Linear(dim, PROJECTED), nn.ReLU(), nn.Linear(PROJECTED, PROJECTED))


def patch_nce(queries: Float[Tensor, "n p d"], keys: Float[Tensor, "n p d"], temperature: float) -> Float[Tensor, ""]:
    """Mean over images and places of -log of the softmax that a query gives the key of its own place.

    Negatives are the keys of the same image's other places.
    """
    queries, keys = (nn.functional.normalize(rows, dim=2) for rows in (queries, keys))
    similarity = queries @ keys.movedim(1, 2) / temperature  # [n, p, p]
    own = torch.arange(similarity.shape[1], device=similarity.device).expand(len(similarity), -1)
    return nn.functional.cross_entropy(similarity.flatten(0, 1), own.flatten())

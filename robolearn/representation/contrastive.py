"""Contrastive learning: two views of one moment are to be told from those of all others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from robolearn.config import check_above_zero
from robolearn.errors import UserError
from robolearn.nets.vision import VisionConfig
from robolearn.representation.method import Method, MethodConfig, Pairs, Shape

HIDDEN, PROJECTED = 128, 64  # channels of the head
NEAREST = 3  # frames that are shown
EPISODES = 4  # that a batch is from where frames near in time are told from others of their episode


@dataclass(frozen=True)
class ContrastiveConfig(MethodConfig):
    """Tell two views of one moment from those of others."""

    within: int = 0
    """Steps between the two views at most: 0 for two augmentations of one frame, more for frames of the same episode
    that are near in time."""
    temperature: float = 0.1
    """Of the softmax over similarities, which are in [-1, 1]."""

    def __post_init__(self) -> None:
        if self.within < 0:
            raise UserError(f"`within` {self.within} must be at least 0")
        check_above_zero(self, "temperature", spec="g")

    @property
    def pairs(self) -> Pairs | None:
        """See MethodConfig."""
        return Pairs(self.within, EPISODES if self.within else None)

    def build(self, vision: VisionConfig, shape: Shape) -> Method:
        """See MethodConfig."""
        if not (self.within or vision.shift or vision.jitter or vision.hue):
            raise UserError(
                "two views of a frame are the same without `vision.shift`, `vision.jitter` and `vision.hue`; give one, "
                "or `within`"
            )
        return Contrastive(vision, self.temperature)


class Contrastive(Method):
    """InfoNCE of 2 b views, on the features through a small head.

    The negatives of a view are all others but its partner. With frames near in time they are those of the same episode
    that are not as near: views of other episodes could be told apart by what never moves.

    Sources: van den Oord et al. 2018, arXiv:1807.03748, eq. 4; in this form Chen et al. 2020, arXiv:2002.05709, eq. 1;
    with frames near in time Sermanet et al. 2018, arXiv:1704.06888.
    """

    def __init__(self, vision: VisionConfig, temperature: float):
        super().__init__()
        standard = nn.BatchNorm1d(vision.features, affine=False, track_running_stats=False)
        hidden = nn.Linear(vision.features, HIDDEN), nn.ReLU()
        # What all images of a batch have in common would make all cosines 1, and their gradients 0.
        self.head = nn.Sequential(standard, *hidden, nn.Linear(HIDDEN, PROJECTED))
        self.temperature = temperature

    def loss(self, network: nn.Module, images: Tensor, left_out: Tensor, generator: torch.Generator) -> Tensor:
        """See Method."""
        return info_nce(self.head(network(images)), left_out, self.temperature)

    def show(
        self, network: nn.Module, frames: Tensor, gallery: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The frames of other episodes whose features are nearest."""
        ours, theirs = (nn.functional.normalize(network(images).float(), dim=1) for images in (frames, gallery))
        nearest = (ours @ theirs.T).topk(min(NEAREST, len(gallery)), dim=1).indices
        return {f"nearest {rank + 1}": gallery[nearest[:, rank]] for rank in range(nearest.shape[1])}


def info_nce(views: Float[Tensor, "m d"], left_out: Bool[Tensor, "m m"], temperature: float) -> Float[Tensor, ""]:
    """Mean over all views of -log of the softmax that a view gives its partner, which lies beside it.

    Args:
        views: Partners are 0 and 1, 2 and 3 ...
        left_out: Pairs that are no negatives, each view with itself among them.
        temperature: Of the softmax over cosines.
    """
    unit = nn.functional.normalize(views.float(), dim=1)
    partner = torch.arange(len(views), device=views.device) ^ 1
    others = left_out.scatter(1, partner[:, None], False)
    return nn.functional.cross_entropy((unit @ unit.T / temperature).masked_fill(others, -torch.inf), partner)

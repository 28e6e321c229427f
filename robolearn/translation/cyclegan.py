"""CycleGAN: to the other side and back again is where one was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import l1_loss

from robolearn.errors import UserError
from robolearn.translation.method import Images, Made, Method, MethodConfig, Side, check_weight
from robolearn.translation.networks import Shape


@dataclass(frozen=True)
class CycleGANConfig(MethodConfig):
    """Translate both ways, so that there and back again is the same image."""

    cycle_weight: float = 10.0
    """Of the distance between an image and its translation there and back."""
    identity_weight: float = 5.0
    """Of the distance between an image and its translation to the side that it is of, which keeps colors."""
    pool: int = 50
    """Images made before that a critic is shown in the place of new ones; 0 for none."""

    arrives_at: ClassVar[tuple[Side, ...]] = ("target", "source")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_weight("cycle_weight", self.cycle_weight)
        check_weight("identity_weight", self.identity_weight)
        if self.pool < 0:
            raise UserError(f"`pool` {self.pool} must be at least 0")

    def build(self, shape: Shape) -> CycleGAN:
        """See MethodConfig."""
        return CycleGAN(self, shape)


class CycleGAN(Method):
    """L = L_GAN(G) + L_GAN(F) + c (|F(G(x)) - x| + |G(F(y)) - y|) + i (|G(y) - y| + |F(x) - x|).

    x are images of the source, y of the target, G = to the target, F = to the source; distances are means over pixels.

    Source: Zhu et al. 2017, arXiv:1703.10593, eq. 3, with the identity loss of section 5.2.
    """

    def __init__(self, cfg: CycleGANConfig, shape: Shape):
        super().__init__(cfg, shape, cfg.pool)
        self.cycle_weight, self.identity_weight = cfg.cycle_weight, cfg.identity_weight

    def generator_loss(self, images: Images, random: torch.Generator) -> Made:
        """See Method."""
        x, y = images["source"], images["target"]
        to_target, to_source = self.generators["target"], self.generators["source"]
        # Images are normalized one by one, so that two batches at once are the same, and faster.
        as_target, same_target = to_target(torch.cat([x, y])).split([len(x), len(y)])
        as_source, same_source = to_source(torch.cat([y, x])).split([len(y), len(x)])
        made: dict[str, Tensor] = {"target": as_target, "source": as_source}
        fooling = self.fooling_loss(made)
        cycle = l1_loss(to_source(as_target), x) + l1_loss(to_target(as_source), y)
        identity = l1_loss(same_target, y) + l1_loss(same_source, x)
        loss = fooling + self.cycle_weight * cycle + self.identity_weight * identity
        details = {"fooling": fooling, "cycle": cycle, "identity": identity}
        return Made(loss, details, {side: one.detach() for side, one in made.items()})

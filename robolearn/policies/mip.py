"""Minimal iterative policy: regression, then one refinement of its own output (arXiv:2512.01809, ICLR 2026)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from robolearn.errors import UserError
from robolearn.nets.backbone import condition
from robolearn.policies.draws import Draws, DrawSource
from robolearn.policies.family import BY_HEART, Chunks, Family, FamilyConfig, Loss, MakeNet
from robolearn.policies.losses import masked_mean


@dataclass(frozen=True)
class MIPConfig(FamilyConfig):
    """Two-step regression: deterministic, the honest baseline beside regression for what needs no modes."""

    dropout: ClassVar[float] = BY_HEART

    refine_time: float = 0.9
    """t*, how clean the refined chunk is taken to be, in (0, 1)."""

    def __post_init__(self) -> None:
        if not 0 < self.refine_time < 1:
            raise UserError(f"mip: refine_time {self.refine_time} must be in (0, 1)")

    def build(self, make_net: MakeNet, action_horizon: int, action_dim: int) -> MIP:
        """Build the family."""
        return MIP(self, make_net, action_horizon, action_dim)


class MIP(Family):
    """L = |f(0, 0, o) - a|^2 / t*^2 + |f(a + (1 - t*) e, t*, o) - a|^2 / (1 - t*)^2."""

    noise_shape = (0,)  # nothing is random
    nfe = 2

    def __init__(self, cfg: MIPConfig, make_net: MakeNet, action_horizon: int, action_dim: int):
        super().__init__(cfg, action_horizon, action_dim)
        self.net = make_net(action_dim, action_dim, 1)

    def draw(self, source: DrawSource) -> Draws:
        """Noise e."""
        return {"noise": source.normal(*self.chunk_shape)}

    def loss(self, data: Chunks, draws: Draws, *, player: str = "policy") -> Loss:
        """Weighted squared errors of the guess and of the refinement; the two share one call."""
        t, actions = self.cfg.refine_time, data.actions
        guess, refined = self.net(
            torch.cat([torch.zeros_like(actions), actions + (1 - t) * draws["noise"]]),
            torch.cat([data.cond, data.cond]),
            torch.cat([actions.new_zeros(len(actions), 1), actions.new_full((len(actions), 1), t)]),
        ).chunk(2)
        guess_loss, refined_loss = (masked_mean((x - actions).square(), data.mask) for x in (guess, refined))
        return guess_loss / t**2 + refined_loss / (1 - t) ** 2, {"guess": guess_loss, "refined": refined_loss}

    def sample(self, cond: Float[Tensor, "b o c"], noise: Float[Tensor, "b ..."]) -> Float[Tensor, "b t a"]:
        """Guess, then refine once, without noise."""
        times = torch.stack([cond.new_zeros(1), cond.new_full((1,), self.cfg.refine_time)])  # made on the device
        predict = condition(self.net, cond, times)
        return predict(predict(cond.new_zeros(len(cond), *self.chunk_shape), 0), 1)

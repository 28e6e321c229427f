"""Mixture density network (Bishop 1994) over whole chunks.

With the lstm backbone it is a relative of robomimic's LSTM-GMM (Mandlekar et al. 2021), not the same: that one draws a
component at every step, from a state that goes on from observation to observation; here a component is a whole chunk,
and the state starts anew at every plan.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from robolearn.errors import UserError
from robolearn.nets.sizes import check_sizes
from robolearn.policies.draws import Draws, draw_category
from robolearn.policies.family import BY_HEART, Chunks, Family, FamilyConfig, Loss, MakeNet
from robolearn.policies.losses import perplexity
from robolearn.policies.options import runtime


@dataclass(frozen=True)
class GMMConfig(FamilyConfig):
    """Mixture of Gaussians over whole chunks: one evaluation, its modes are as many as its components."""

    dropout: ClassVar[float] = BY_HEART

    num_components: int = 16
    """Components K."""
    min_std: float = 0.01
    """Smallest standard deviation, in normalized actions; keeps the likelihood bounded."""
    std_scale: float = runtime(0.0)
    """Share of a component's standard deviation that samples carry; 0 takes the means, as robomimic does."""

    def __post_init__(self) -> None:
        check_sizes("gmm", num_components=self.num_components)
        if self.min_std <= 0 or self.std_scale < 0:
            raise UserError(f"gmm: min_std {self.min_std} must be above 0 and std_scale {self.std_scale} not negative")

    def build(self, make_net: MakeNet, action_horizon: int, action_dim: int) -> GMM:
        """Build the family."""
        return GMM(self, make_net, action_horizon, action_dim)


class GMM(Family):
    """p(a | o) = sum_k w_k(o) N(a; m_k(o), s_k(o)^2): a component is a whole chunk, so steps do not mix modes."""

    def __init__(self, cfg: GMMConfig, make_net: MakeNet, action_horizon: int, action_dim: int):
        super().__init__(cfg, action_horizon, action_dim)
        self.net = make_net(action_dim, cfg.num_components * (2 * action_dim + 1), 0)

    def loss(self, data: Chunks, draws: Draws, *, player: str = "policy") -> Loss:
        """Negative log-likelihood of the valid steps, in nats per number of a full chunk."""
        logits, means, stds = self.components(data.cond)
        z = (data.actions[:, None] - means) / stds
        log_density = -0.5 * z.square() - stds.log() - 0.5 * math.log(2 * math.pi)
        log_density = (log_density * data.mask[:, None, :, None]).sum((2, 3))
        loss = -torch.logsumexp(logits.log_softmax(1) + log_density, 1).mean() / data.actions[0].numel()
        return loss, {"components_used": perplexity(logits.softmax(1).mean(0))}

    def components(
        self, cond: Float[Tensor, "b o c"]
    ) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b k t a"], Float[Tensor, "b k t a"]]:
        """Logits, means and standard deviations."""
        (horizon, action_dim), k = self.chunk_shape, self.cfg.num_components
        # Likelihoods of a whole chunk need more than bfloat16.
        out = self.net(cond.new_zeros(len(cond), horizon, action_dim), cond).float()
        logits, means, stds = out.split([k, k * action_dim, k * action_dim], dim=2)
        means, stds = (x.unflatten(2, (k, action_dim)).transpose(1, 2) for x in (means, stds))
        return logits.mean(1), means, torch.nn.functional.softplus(stds) + self.cfg.min_std

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """One number that picks the component, then one for each number of the chunk."""
        return (1 + math.prod(self.chunk_shape),)

    def sample(self, cond: Float[Tensor, "b o c"], noise: Float[Tensor, "b ..."]) -> Float[Tensor, "b t a"]:
        """The chosen component's mean, plus a share of its spread."""
        logits, means, stds = self.components(cond)
        rows, component = torch.arange(len(cond), device=cond.device), draw_category(logits, noise[:, 0])
        spread = noise[:, 1:].view(len(cond), *self.chunk_shape)
        return means[rows, component] + self.cfg.std_scale * stds[rows, component] * spread

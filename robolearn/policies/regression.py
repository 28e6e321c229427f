"""Regression: the conditional mean of the chunk, the baseline of behaviour cloning (Pomerleau 1988)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from robolearn.policies.family import Draws, Family, FamilyConfig, MakeNet, masked_mean, standard_normal


@dataclass(frozen=True)
class RegressionConfig(FamilyConfig):
    """Mean-squared error: one evaluation, deterministic, averages over modes."""

    def build(self, make_net: MakeNet, action_horizon: int, action_dim: int) -> Regression:
        """Build the family."""
        return Regression(self, make_net, action_horizon, action_dim)


class Regression(Family):
    """L = |f(0, o) - a|^2; the network's chunk input is zero."""

    def __init__(self, cfg: RegressionConfig, make_net: MakeNet, action_horizon: int, action_dim: int):
        super().__init__(cfg, action_horizon, action_dim)
        self.net = make_net(action_dim, action_dim, 0)

    def draws(self, batch: int, *, generator: torch.Generator, player: str = "policy", progress: float = 0.0) -> Draws:
        """Nothing is random."""
        return {}

    def loss(
        self,
        actions: Float[Tensor, "b t a"],
        cond: Float[Tensor, "b o c"],
        mask: Bool[Tensor, "b t"],
        draws: Draws,
        *,
        player: str = "policy",
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Mean squared error over valid steps."""
        return masked_mean((self.net(torch.zeros_like(actions), cond) - actions).square(), mask), {}

    def noise(self, batch: int, *, generator: torch.Generator) -> Float[Tensor, "b ..."]:
        """Nothing is random: an empty tensor."""
        return standard_normal(batch, 0, generator=generator)

    def sample(self, cond: Float[Tensor, "b o c"], noise: Float[Tensor, "b ..."]) -> Float[Tensor, "b t a"]:
        """The conditional mean."""
        return self.net(cond.new_zeros(len(cond), *self.chunk_shape), cond)

    @property
    def nfe(self) -> int:
        """Network evaluations per sampled chunk."""
        return 1

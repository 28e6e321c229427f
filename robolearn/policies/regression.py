"""Regression: the conditional mean of the chunk, the baseline of behavior cloning (Pomerleau 1988)."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from robolearn.policies.draws import Draws
from robolearn.policies.family import Chunks, Family, FamilyConfig, Loss, MakeNet
from robolearn.policies.losses import masked_mean


@dataclass(frozen=True)
class RegressionConfig(FamilyConfig):
    """Mean-squared error: one evaluation, deterministic, averages over modes."""

    def build(self, make_net: MakeNet, action_horizon: int, action_dim: int) -> Regression:
        """Build the family."""
        return Regression(self, make_net, action_horizon, action_dim)


class Regression(Family):
    """L = |f(0, o) - a|^2; the network's chunk input is zero."""

    noise_shape = (0,)  # nothing is random

    def __init__(self, cfg: RegressionConfig, make_net: MakeNet, action_horizon: int, action_dim: int):
        super().__init__(cfg, action_horizon, action_dim)
        self.net = make_net(action_dim, action_dim, 0)

    def loss(self, data: Chunks, draws: Draws, *, player: str = "policy") -> Loss:
        """Mean squared error over valid steps."""
        return masked_mean((self.predict(data.cond) - data.actions).square(), data.mask), {}

    def sample(self, cond: Float[Tensor, "b o c"], noise: Float[Tensor, "b ..."]) -> Float[Tensor, "b t a"]:
        """The conditional mean."""
        return self.predict(cond)

    def predict(self, cond: Float[Tensor, "b o c"]) -> Float[Tensor, "b t a"]:
        """f(0, o)."""
        return self.net(cond.new_zeros(len(cond), *self.chunk_shape), cond)

"""Regression: the conditional mean of the chunk, the baseline of behavior cloning (Pomerleau 1988)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from robolearn.policies.bounded import BoundedConfig, bounded_output, draw_error, radius_term
from robolearn.policies.draws import Draws, DrawSource
from robolearn.policies.family import BY_HEART, Chunks, Family, Loss, MakeNet
from robolearn.policies.losses import masked_mean


@dataclass(frozen=True)
class RegressionConfig(BoundedConfig):
    """Mean-squared error: one evaluation, deterministic, averages over modes."""

    dropout: ClassVar[float] = BY_HEART

    def __post_init__(self) -> None:
        self.check_bounds("regression")

    def build(self, make_net: MakeNet, action_horizon: int, action_dim: int) -> Regression:
        """Build the family."""
        return Regression(self, make_net, action_horizon, action_dim)


class Regression(Family):
    """L = |f(0, o) - a|^2; the network's chunk input is zero."""

    noise_shape = (0,)  # nothing is random

    def __init__(self, cfg: RegressionConfig, make_net: MakeNet, action_horizon: int, action_dim: int):
        super().__init__(cfg, action_horizon, action_dim)
        self.net = make_net(action_dim, action_dim, 0)
        cfg.check_net(self.net)

    def draw(self, source: DrawSource) -> Draws:
        """The error of observations that the chunk is bounded for."""
        return draw_error(self.cfg, source)

    def loss(self, data: Chunks, draws: Draws, *, player: str = "policy") -> Loss:
        """Mean squared error over valid steps, and the bounds' radius where it counts."""
        error = masked_mean((self.predict(data.cond) - data.actions).square(), data.mask)
        if "bound_error" not in draws:
            return error, {}
        term, logged = radius_term(self.cfg, bounded_output(self.net, data.cond, draws), data)
        return error + term, logged

    def validation_draws(self, batch: int, *, generator: torch.Generator) -> Draws:
        """None: held-out windows are judged by the error alone."""
        return {}

    def sample(self, cond: Float[Tensor, "b o c"], noise: Float[Tensor, "b ..."]) -> Float[Tensor, "b t a"]:
        """The conditional mean."""
        return self.predict(cond)

    def predict(self, cond: Float[Tensor, "b o c"]) -> Float[Tensor, "b t a"]:
        """f(0, o)."""
        return self.net(cond.new_zeros(len(cond), *self.chunk_shape), cond)

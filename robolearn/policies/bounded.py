"""A term of training that keeps chunks close together for observations that are close together, by interval bounds.

What is proved of a policy is proved of boxes of observations, and is worth little where a box leads anywhere. The term
is the radius of the chunk's bounds over boxes of a size that grows in training: at full size from the first step, it
would be all that is learned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from robolearn.errors import UserError
from robolearn.nets.interval import Interval
from robolearn.nets.mlp import MLP
from robolearn.policies.draws import Draws, DrawSource
from robolearn.policies.family import Chunks, FamilyConfig
from robolearn.policies.losses import masked_mean

RAMP = (0.1, 0.6)  # share of the training at which boxes begin to grow, and at which they have their size


@dataclass(frozen=True, kw_only=True)
class BoundedConfig(FamilyConfig):
    """Options of families that can be trained for tight bounds."""

    bound_weight: float = 0.0
    """Weight of the radius of interval bounds on the chunk, for policies to be verified; needs a plain mlp."""
    bound_error: float = 0.01
    """The bounds are over observations that are off by up to this, normalized; it grows from 0 in training."""

    def check_bounds(self, name: str) -> None:
        """Raise a UserError unless weight and error can be."""
        if not (0 <= self.bound_weight < float("inf") and 0 < self.bound_error < float("inf")):
            raise UserError(
                f"{name}: bound_weight {self.bound_weight} must not be negative, bound_error {self.bound_error} above 0"
            )

    def check_net(self, net: Any) -> None:
        """Raise a UserError unless intervals pass through a backbone, where they are asked for."""
        if self.bound_weight and not (isinstance(net, MLP) and net.plain):
            raise UserError("`family.bound_weight` needs backbone mlp with `backbone.plain`")


def draw_error(cfg: BoundedConfig, source: DrawSource) -> Draws:
    """How far observations are off at this moment of the training."""
    if not cfg.bound_weight:
        return {}

    def error(progress: float) -> float:
        return cfg.bound_error * min(max((progress - RAMP[0]) / (RAMP[1] - RAMP[0]), 0.0), 1.0)

    return {"bound_error": source.scheduled("bound_error", error)}


def bounded_output(net: Any, cond: Tensor, draws: Draws) -> Interval:
    """Bounds on what a backbone makes of observations [b, o, c] that are off as drawn."""
    assert isinstance(net, MLP), "check_net was asked"
    return net.interval(Interval(cond, draws["bound_error"][:, None, None].to(cond).expand_as(cond)))


def radius_term(cfg: BoundedConfig, chunk: Interval, data: Chunks) -> tuple[Tensor, dict[str, Tensor]]:
    """What the loss gains, and the mean radius of the bounds on the chunk."""
    radius = masked_mean(chunk.radius.float(), data.mask)
    return cfg.bound_weight * radius, {"bound_radius": radius.detach()}

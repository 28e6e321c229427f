"""Members of one training: the course of the weights at a constant learning rate, and policies drawn from it.

SWAG (stochastic weight averaging, Gaussian): over the last part of a training the mean, the variances and the last r
deviations of the weights are collected. Members are draws of the Gaussian that has half of its covariance from the
variances and half from the deviations, of K snapshots,

    theta = mean + sqrt(variances / 2) z + D y / sqrt(2 (K - 1)),   z ~ N(0, I), y ~ N(0, I), D = K last deviations

Source: Maddox et al. 2019, eq. 1 and algorithm 1, arXiv:1902.02476.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from robolearn.errors import UserError
from robolearn.policies.policy import Policy

NUM_SNAPSHOTS = 100  # of the weights, evenly over the steps that are collected; more tell hardly more
NAMES = ("count", "mean", "squares", "deviations")


@dataclass(frozen=True)
class SwagConfig:
    """How members are drawn instead of trained, as many as num_members says."""

    share: float = 0.0
    """Draw the members from the course of the weights over this share of the steps, the last ones, as 0.25; 0 to train
    them."""
    rate: float = 0.3
    """Learning rate over these steps, as a share of the peak; the larger, the more the members differ."""
    rank: int = 20
    """Snapshots whose deviations are kept, each as large as the weights; they tell how weights move together."""

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise UserError(f"`swag.share` {self.share} must be in [0, 1)")
        if not (0 < self.rate <= 1 and math.isfinite(self.rate)):
            raise UserError(f"`swag.rate` {self.rate} must be in (0, 1]")
        if not 2 <= self.rank <= NUM_SNAPSHOTS:
            raise UserError(f"`swag.rank` {self.rank} must be in 2..{NUM_SNAPSHOTS}")


class Moments:
    """What was collected of p weights.

    Attributes:
        count: Snapshots.
        mean: Of all of them [p].
        squares: Sums of squared deviations from it [p], by Welford's recursion, which does not cancel.
        deviations: The last ones, each from the mean until then [r, p]; in a ring.

    Args:
        num_weights: p.
        rank: r.
        device: Where the weights are.
    """

    def __init__(self, num_weights: int, rank: int, device: torch.device):
        self.count = torch.zeros((), dtype=torch.int64)
        self.mean, self.squares = torch.zeros(2, num_weights, device=device)
        self.deviations = torch.zeros(rank, num_weights, device=device)

    def clear(self) -> None:
        """Begin anew."""
        for name in NAMES:
            getattr(self, name).zero_()

    def collect(self, weights: Float[Tensor, " p"]) -> None:
        """Take a snapshot."""
        row = int(self.count) % len(self.deviations)
        self.count += 1
        before = weights - self.mean
        self.mean += before / int(self.count)
        self.deviations[row] = weights - self.mean
        self.squares += before * self.deviations[row]

    def draw(self, generator: torch.Generator) -> Float[Tensor, " p"]:
        """Draw weights.

        Args:
            generator: Of the CPU, so that every device draws the same.
        """
        kept = min(int(self.count), len(self.deviations))
        wide = torch.randn(len(self.mean), generator=generator).to(self.mean)
        low = torch.randn(kept, generator=generator).to(self.mean)
        apart = (self.squares / int(self.count)).sqrt() * wide
        together = low @ self.deviations[:kept] / math.sqrt(kept - 1)
        return self.mean + (apart + together) / math.sqrt(2)


class Swag:
    """Collects the moments of a policy while it is trained.

    Args:
        cfg: How.
        policy: That is trained, on its device.
        names: Of its parameters that move while moments are collected.
        begin: The first step behind which that is.
        steps: Of the whole training.
    """

    def __init__(self, cfg: SwagConfig, policy: Policy, names: Sequence[str], begin: int, steps: int):
        self.begin, self.names = begin, tuple(names)
        self.spacing = max(1, (steps - begin) // NUM_SNAPSHOTS)
        self.moments = Moments(sum(p.numel() for p in self._weights(policy)), cfg.rank, policy.device)

    @torch.no_grad()
    def follow(self, policy: Policy, step: int) -> None:
        """Take a snapshot where one is due once ``step`` steps are done."""
        done = step - self.begin
        if done == self.spacing:  # what a shorter training has collected before counts no more
            self.moments.clear()
        if done > 0 and done % self.spacing == 0:
            self.moments.collect(parameters_to_vector(self._weights(policy)))

    @torch.no_grad()
    def draw(self, policy: Policy, seed: int) -> Policy:
        """A member: a policy with these weights drawn, everything else as it is.

        Raises:
            UserError: There are too few snapshots to tell how weights move together.
        """
        if self.moments.count < 2:
            raise UserError(f"`swag.share`: {self.moments.count} snapshots of the weights are too few; train longer")
        drawn = copy.deepcopy(policy)
        vector_to_parameters(self.moments.draw(torch.Generator().manual_seed(seed)), self._weights(drawn))
        return drawn

    def tensors(self) -> dict[str, Tensor]:
        """The moments by name, for a checkpoint."""
        return {f"swag.{name}": getattr(self.moments, name) for name in NAMES}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over what ``tensors`` returned, without the head of its names."""
        for name in NAMES:
            getattr(self.moments, name).copy_(tensors[name])

    def problem(self, tensors: dict[str, Tensor]) -> str | None:
        """Say what in saved tensors cannot be of these moments."""
        for name, ours in self.tensors().items():
            theirs = tensors.get(name)
            if theirs is None or (theirs.shape, theirs.dtype) != (ours.shape, ours.dtype):
                return f"{name} is not of this training"
        if tensors["swag.count"] < 0 or tensors["swag.squares"].min() < 0:
            return "swag.count or swag.squares is negative"
        return None

    def _weights(self, policy: Policy) -> list[torch.nn.Parameter]:
        return [policy.get_parameter(name) for name in self.names]

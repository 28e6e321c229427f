"""A policy as claims see it: inputs of one vector, and for each one chunk per code; a policy without codes has one.

Shape letters: b boxes or inputs, n numbers of an input, k codes, m numbers of the actions that are executed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from robolearn.verify.crown import lower_bound, relax
from robolearn.verify.graph import Graph
from robolearn.verify.loop.codes import Codes
from robolearn.verify.lowering import lower
from robolearn.verify.network import Network
from robolearn.verify.quadratic import is_worthwhile, tightened
from robolearn.verify.rounding import DOUBLE, SINGLE, TINY, Precision


@dataclass(frozen=True)
class Chunks:
    """What may be executed, of boxes or of single inputs.

    Attributes:
        lower: Of the numbers of each code's actions, float64 [b, k, m].
        upper: The same from above; equal for a single input.
        probability: No code is drawn with more [b, k]; 0 where it never is drawn.
        influence: How much the actions move with each number of the input [b, n].
    """

    lower: Tensor
    upper: Tensor
    probability: Tensor
    influence: Tensor


@runtime_checkable
class Subject(Protocol):
    """What a claim is about."""

    @property
    def size(self) -> int:
        """Numbers of the input."""
        ...

    def prepare(self) -> None:
        """Make the graphs, so that what has no bounds is refused at once, by a UserError."""
        ...

    def enclose(self, lower: Tensor, upper: Tensor) -> Chunks:
        """Bounds over boxes of inputs [b, n]."""
        ...

    def act(self, x: Tensor) -> Chunks:
        """What the policy itself computes of inputs [b, n] in float32; differentiable."""
        ...


@dataclass(frozen=True, eq=False)
class Plain:
    """A policy that is a network of observation and noise.

    Attributes:
        network: Its executed actions.
        precision: What bounds are about.
    """

    network: Network
    precision: Precision = "float32"

    @property
    def size(self) -> int:
        """Numbers of the input."""
        return self.network.input_size

    def prepare(self) -> None:
        """See Subject."""
        assert self.graph.input_size == self.size, "the graph is of the network"

    @cached_property
    def graph(self) -> Graph:
        """The network for bounds."""
        return lower(self.network.function, torch.zeros(self.size), self.precision)

    def enclose(self, lower: Tensor, upper: Tensor) -> Chunks:
        """See Subject."""
        low, high = received(lower, upper)
        last, eye = len(self.graph.nodes) - 1, torch.eye(self.graph.output_size, dtype=torch.float64)
        ways = [relax(self.graph, low, high)]
        if is_worthwhile(self.graph, low, high):
            ways.append(tightened(ways[0], low, high))
        bounds = [lower_bound(way, last, torch.cat([eye, -eye])) for way in ways]
        least, most = ways[-1].bounds[last]
        for bound in bounds:
            least = torch.fmax(least, bound.least[:, : len(eye)])
            most = torch.fmin(most, -bound.least[:, len(eye) :])
        influence = bounds[-1].slope.abs().sum(1).expand(len(low), -1) / 2
        return Chunks(least[:, None], most[:, None], torch.ones(len(low), 1, dtype=torch.float64), influence)

    def act(self, x: Tensor) -> Chunks:
        """See Subject."""
        y = self.network.batched(x.float()).double()[:, None]
        return Chunks(y, y, torch.ones(len(x), 1, dtype=torch.float64), torch.zeros(x.shape, dtype=torch.float64))


@dataclass(frozen=True, eq=False)
class Coded:
    """A policy that draws one of finitely many codes, whatever the noise.

    Attributes:
        codes: The policy.
        numbers: How many of a chunk's numbers are executed, the first ones.
    """

    codes: Codes
    numbers: int

    @property
    def size(self) -> int:
        """Numbers of the input."""
        return self.codes.size

    def prepare(self) -> None:
        """See Subject."""
        assert self.codes.trunk.input_size == self.size, "the graph is of the network"
        self.codes.head(None)

    def enclose(self, lower: Tensor, upper: Tensor) -> Chunks:
        """See Subject."""
        seen = self.codes.seen(lower, upper, second_order=True)
        probability = seen.probabilities()
        forms = [seen.head(code) for code in range(probability.shape[1])]
        slope, middle, reach = (
            torch.stack([getattr(form, name)[:, : self.numbers] for form in forms], 1)
            for name in ("slope", "middle", "reach")
        )
        reach = reach * (1 + 1e-9) + 8 * DOUBLE * middle.abs() + TINY
        influence = (slope.abs().sum(2) * (probability > 0)[..., None]).sum(1)
        return Chunks(middle - reach, middle + reach, probability, influence)

    def act(self, x: Tensor) -> Chunks:
        """See Subject."""
        features = self.codes.features(x.float())
        share = self.codes.logits(features).softmax(1).double()
        drawn = share >= share.amax(1, keepdim=True).clamp(max=self.codes.floor)
        share = torch.where(drawn, share, 0.0)
        y = torch.stack([self.codes.chunk(features, k).flatten(1)[:, : self.numbers] for k in range(share.shape[1])], 1)
        zero = torch.zeros(x.shape, dtype=torch.float64)
        return Chunks(y.double(), y.double(), share / share.sum(1, keepdim=True), zero)


def received(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes with what their points are rounded to in float32, in which a policy receives them."""
    return lower - SINGLE * lower.abs() - 1e-30, upper + SINGLE * upper.abs() + 1e-30

"""A network that proofs and searches are about: a function of torch, of one input without a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from robolearn.verify.property import Box


@dataclass(frozen=True, eq=False)
class Network:
    """A function of one vector, in the arithmetic that it is used in.

    Attributes:
        function: x [n] -> y [m], in the dtype that it is given, differentiable, and the same for every x.
        input_size: n.
        output_size: m.
        dtype: Its own precision: float32 or float64. What is replayed is computed in it.
        name: What messages call it.
        sha256: Of the file that holds its weights; empty where there is none.
    """

    function: Callable[[Tensor], Tensor]
    input_size: int
    output_size: int
    dtype: torch.dtype = torch.float32
    name: str = "the network"
    sha256: str = ""

    def replay(self, x: Tensor) -> Tensor:
        """The output that the network gives for an input [n], float64 [m].

        The input is rounded to the network's own precision, as by whoever uses it; all the rest is exact.
        """
        with torch.no_grad():
            return self.function(x.to(self.dtype)).to(torch.float64)

    def batched(self, x: Tensor) -> Tensor:
        """Outputs [b, m] of inputs [b, n], in their dtype; other last digits than `replay`, but differentiable."""
        return torch.func.vmap(lambda one: self.function(one))(x)  # vmap prints whatever object it is given

    def received(self, box: Box) -> Box:
        """The smallest box with a box and with what its points are rounded to in the network's own precision.

        Who asks about 0.1 of a network in float32 gets its answer for the nearest float32 number, which is
        0.100000001490116. Proofs that hold for this box hold for both.
        """
        lower, upper = (bound.to(self.dtype).to(torch.float64) for bound in (box.lower, box.upper))
        return Box(torch.minimum(box.lower, lower), torch.maximum(box.upper, upper))

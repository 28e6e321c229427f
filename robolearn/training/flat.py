"""Parameters in one buffer: what a step does to all of them is then one operation, and not one for each of them.

Beside its network a step has little arithmetic: the gradients' norm, AdamW, the moving average, and under autocast
copies in bfloat16 and back. Asked for parameter by parameter, it takes a third of a small network's step on a CPU.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

LOWERED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)
"""Modules whose weights autocast rounds to bfloat16 whenever they are used."""


def lowerable(module: nn.Module) -> set[nn.Parameter]:
    """The parameters within a module that are rounded to bfloat16 under autocast."""
    return {p for part in module.modules() if isinstance(part, LOWERED) for p in part.parameters(recurse=False)}


class Flat:
    """Parameters that are views of one buffer from now on, in place: modules and state dicts notice nothing.

    Args:
        parameters: Of one type, on one device, and in no other buffer.
        low: Those of them that a step may use in bfloat16; see `lowered`.

    Attributes:
        parameters: In the order of the buffer.
        whole: The buffer as a parameter, for an optimizer; its gradient is a buffer too, filled by `gather`.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], low: Collection[nn.Parameter] = ()):
        first, last = ([p for p in parameters if (p in low) == is_low] for is_low in (True, False))
        self.parameters = (*first, *last)
        self.whole = nn.Parameter(torch.cat([p.detach().flatten() for p in self.parameters]))
        self.whole.grad = torch.zeros_like(self.whole)
        self._views = self.split(self.data)
        for parameter, view in zip(self.parameters, self._views, strict=True):
            parameter.data = view
        self._low = self.data[: sum(p.numel() for p in first)].bfloat16()
        self._low_grad, self._low_views = torch.empty_like(self._low), self._split(self._low, first)

    @property
    def data(self) -> Float[Tensor, " p"]:
        """All numbers."""
        return self.whole.detach()

    @property
    def gradient(self) -> Float[Tensor, " p"]:
        """Of all numbers, as it was gathered last."""
        assert self.whole.grad is not None, "a buffer has one from the beginning"
        return self.whole.grad

    def split(self, vector: Float[Tensor, " p"]) -> list[Tensor]:
        """Cut a vector of as many numbers into the shapes of the parameters."""
        return self._split(vector, self.parameters)

    @staticmethod
    def _split(vector: Tensor, parameters: Sequence[nn.Parameter]) -> list[Tensor]:
        parts = vector.split([p.numel() for p in parameters]) if parameters else ()
        return [part.view(p.shape) for part, p in zip(parts, parameters, strict=True)]

    @contextmanager
    def lowered(self) -> Iterator[None]:
        """Meanwhile what may be is in bfloat16, rounded all at once; behind it no parameter has a gradient.

        Autocast would round the same weights one by one, and their gradients back.
        """
        self._low.copy_(self.data[: len(self._low)])
        for parameter, view in zip(self.parameters, self._low_views, strict=False):
            parameter.data = view
        try:
            yield
        finally:
            for parameter, view in zip(self.parameters, self._views, strict=True):
                parameter.data, parameter.grad = view, None

    def gather(self) -> None:
        """Put the parameters' gradients into the buffer's; where a loss does not reach, it is 0."""
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        flat, grad, low = [g.flatten() for g in grads], self.gradient, len(self._low)
        if grads[0].dtype != grad.dtype:
            torch.cat(flat[: len(self._low_views)], out=self._low_grad)
            grad[:low].copy_(self._low_grad)
            flat, grad = flat[len(self._low_views) :], grad[low:]
        if flat:
            torch.cat(flat, out=grad)

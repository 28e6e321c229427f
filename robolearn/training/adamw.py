"""AdamW of one player, on parameters in few buffers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robolearn.training.flat import Flat
from robolearn.training.moments import OptimizerState

EPS = 1e-8  # keeps rates finite; as torch has it


class FlatAdamW:
    """AdamW (Loshchilov & Hutter 2019), one operation per buffer, with the gradient's norm clipped.

    The operation is torch's own. Its class around it would load the compiler, a second at every start, and would have
    to be told that a GPU may record it. What is kept is written and read parameter by parameter, as torch's own would
    be: a checkpoint knows no buffers.

    Args:
        flats: Buffers that hold all of the parameters, and no other.
        parameters: In the order in which a checkpoint numbers them.
        lr: Learning rate.
        betas: Decay of the first and second moment.
        weight_decay: Decoupled.
        grad_clip: Norm that gradients are scaled down to, above 0.

    Attributes:
        lr: Learning rate of the next step; a tensor where it is on the device.
    """

    slots = ("step", "exp_avg", "exp_avg_sq")

    def __init__(
        self,
        flats: Sequence[Flat],
        parameters: Sequence[nn.Parameter],
        *,
        lr: float,
        betas: tuple[float, float],
        weight_decay: float,
        grad_clip: float,
    ):
        self.lr: float | Tensor = lr
        self.flats, self.betas, self.weight_decay, self.grad_clip = tuple(flats), betas, weight_decay, grad_clip
        self.numbers = {parameter: number for number, parameter in enumerate(parameters)}
        assert {p for flat in flats for p in flat.parameters} == self.numbers.keys()
        self._wholes: list[Tensor] = [flat.whole for flat in self.flats]
        self._steps = [torch.zeros((), device=whole.device) for whole in self._wholes]
        self._first, self._second = ([torch.zeros_like(flat.data) for flat in self.flats] for _ in range(2))

    @property
    def shapes(self) -> list[torch.Size]:
        """Of all parameters, in the order in which a checkpoint numbers them."""
        return [parameter.shape for parameter in self.numbers]

    def differentiate(self, loss: Float[Tensor, ""]) -> None:
        """Gather the gradient of a loss."""
        loss.backward()
        for flat in self.flats:
            flat.gather()

    @torch.no_grad()
    def move(self) -> Float[Tensor, ""]:
        """Step along the gathered gradient; return its norm before it was clipped."""
        norm = nn.utils.clip_grad_norm_(self._wholes, self.grad_clip)
        torch._foreach_add_(self._steps, 1)
        rate: Any = self.lr  # there is an operation for a number and one for a tensor, of the same name
        torch._fused_adamw_(
            self._wholes,
            [flat.gradient for flat in self.flats],
            self._first,
            self._second,
            [],
            self._steps,
            lr=rate,
            beta1=self.betas[0],
            beta2=self.betas[1],
            weight_decay=self.weight_decay,
            eps=EPS,
            amsgrad=False,
            maximize=False,
        )
        return norm

    def state(self) -> OptimizerState:
        """What is kept of each parameter: the count of its steps, and both moments."""
        kept: OptimizerState = {}
        for flat, step, *both in zip(self.flats, self._steps, self._first, self._second, strict=True):
            for parameter, first, second in zip(flat.parameters, *map(flat.split, both), strict=True):
                kept[self.numbers[parameter]] = dict(zip(self.slots, (step.clone(), first, second), strict=True))
        return dict(sorted(kept.items()))

    @torch.no_grad()
    def restore(self, state: OptimizerState) -> None:
        """Take over what `state` returned. What has no entry was never moved: its moments are 0."""
        for flat, step, *both in zip(self.flats, self._steps, self._first, self._second, strict=True):
            there = [state.get(self.numbers[parameter], {}) for parameter in flat.parameters]
            step.copy_(max((slots["step"] for slots in there if slots), default=torch.zeros(())))
            for slot, whole in zip(self.slots[1:], both, strict=True):
                for slots, part in zip(there, flat.split(whole), strict=True):
                    part.copy_(slots[slot]) if slots else part.zero_()

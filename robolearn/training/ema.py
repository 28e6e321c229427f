"""Exponential moving average of the weights: the policy that is evaluated and saved."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


class EMA(Generic[Module]):
    """Shadow of a module.

    The decay warms up as min(decay, 1 - (1 + step)^-3/4), so that the first steps are forgotten (as in
    Diffusion Policy's EMA with power 3/4).

    Args:
        module: Followed.
        decay: Ceiling, in [0, 1).
    """

    def __init__(self, module: Module, decay: float):
        if not 0 <= decay < 1:
            raise ValueError(f"--ema-decay {decay} must be in [0, 1)")
        self.module: Module = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay = decay
        self.shadow: list[Tensor] = list(self.module.parameters())
        self.followed: list[Tensor] = list(module.parameters())
        self._buffers: list[Tensor] = list(self.module.buffers())
        self._followed_buffers: list[Tensor] = list(module.buffers())

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Follow the module after optimizer step number ``step`` (from 0).

        What is not trained is taken over as it is, such as the bins that a family found in the data.
        """
        decay = min(self.decay, 1 - (1 + step) ** -0.75)
        torch._foreach_lerp_(self.shadow, self.followed, 1 - decay)
        for shadow, followed in zip(self._buffers, self._followed_buffers, strict=True):
            shadow.copy_(followed)

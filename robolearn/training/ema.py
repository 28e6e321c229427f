"""Exponential moving average of the weights: the policy that is evaluated and saved."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from robolearn.errors import UserError

Module = TypeVar("Module", bound=nn.Module)


class EMA(Generic[Module]):
    """Shadow of a module.

    The decay warms up as min(decay, 1 - (1 + n)^-3/4) over the n steps that a parameter has been trained for, so that
    the first steps are forgotten (as in Diffusion Policy's EMA with power 3/4). What is trained late in a run, such as
    the student of a teacher, forgets where it started as fast as what is trained from step 0.

    Args:
        module: Followed.
        decay: Ceiling, in [0, 1).
        starts: Parameter -> first step that trains it; 0 for those that are not named.
    """

    def __init__(self, module: Module, decay: float, starts: Mapping[nn.Parameter, int] | None = None):
        if not 0 <= decay < 1:
            raise UserError(f"`ema_decay` {decay} must be in [0, 1)")
        self.module: Module = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay = decay
        starts = starts or {}
        self._groups: dict[int, tuple[list[Tensor], list[Tensor]]] = {}
        for shadow, followed in zip(self.module.parameters(), module.parameters(), strict=True):
            group = self._groups.setdefault(starts.get(followed, 0), ([], []))
            group[0].append(shadow)
            group[1].append(followed)
        self._buffers = list(self.module.buffers()), list(module.buffers())

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Follow the module after optimizer step number ``step`` (from 0).

        What is not trained is taken over as it is, such as the bins that a family found in the data.
        """
        for start, (shadow, followed) in self._groups.items():
            decay = min(self.decay, 1 - (1 + max(0, step - start)) ** -0.75)
            torch._foreach_lerp_(shadow, followed, 1 - decay)
        if self._buffers[0]:
            torch._foreach_copy_(*self._buffers)

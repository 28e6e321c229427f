"""Exponential moving average of the weights: the policy that is evaluated and saved."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version

from robolearn.errors import UserError
from robolearn.training.course import Course, HostCourse
from robolearn.training.flat import Flat

Module = TypeVar("Module", bound=nn.Module)


class EMA(Generic[Module]):
    """Shadow of a module.

    The decay warms up as min(decay, 1 - (1 + n)^-3/4) over the n steps that a parameter has been trained for, so that
    the first steps are forgotten (as in Diffusion Policy's EMA with power 3/4). What is trained late in a run, such as
    the student of a teacher, forgets where it started as fast as what is trained from step 0.

    Args:
        module: Followed.
        decay: Ceiling, in [0, 1).
        starts: Parameters that are trained -> the first step that trains them. All else is taken over as it is, such
            as the bins that a family found in the data.
    """

    def __init__(self, module: Module, decay: float, starts: Mapping[Flat, int]):
        if not 0 <= decay < 1:
            raise UserError(f"`ema_decay` {decay} must be in [0, 1)")
        self.module: Module = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay = decay
        shadows = dict(zip(module.parameters(), self.module.parameters(), strict=True))
        self._trained = [
            (start, Flat([shadows.pop(p) for p in flat.parameters]), flat) for flat, start in starts.items()
        ]
        self._others = [*shadows.values(), *self.module.buffers()], [*shadows, *module.buffers()]

    @torch.no_grad()
    def update(self, step: int, course: Course | None = None) -> None:
        """Follow the module after optimizer step number ``step`` (from 0).

        Args:
            step: Known to the host.
            course: Where the weights of the new numbers are from; by default they are of this step.
        """
        for number, (start, shadow, followed) in enumerate(self._trained):
            of_step = functools.partial(self._weight, start)
            weight = (course or HostCourse(step, followed.data.device)).number(f"average {number}", of_step)
            shadow.data.lerp_(followed.data, weight.to(shadow.data.dtype) if isinstance(weight, Tensor) else weight)
            increment_version(shadow.parameters)  # views of the buffer do not notice; a U-Net keeps copies (unet_rows)
        if self._others[0]:
            torch._foreach_copy_(*self._others)

    def _weight(self, start: int, step: int) -> float:
        """Of what the module is after a step, where it is trained from ``start`` on."""
        return 1 - min(self.decay, 1 - (1 + max(0, step - start)) ** -0.75)

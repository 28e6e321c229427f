"""How small networks are fitted, such as the members of an ensemble: AdamW, at a rate that rises and falls once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robolearn.errors import UserError


@dataclass(frozen=True)
class FitConfig:
    """How long, and how fast."""

    steps: int
    """Optimizer steps."""
    batch_size: int = 32
    """Examples per step and member."""
    lr: float = 3e-3
    """Largest learning rate of AdamW; it rises at first and falls to 0."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 1 or not self.lr > 0:
            raise UserError(f"fit: steps {self.steps}, batch_size {self.batch_size} and lr {self.lr} must be positive")


def descend(
    parameters: Iterable[nn.Parameter],
    draw_loss: Callable[[], Tensor],
    fit: FitConfig,
    on_step: Callable[[int, Tensor], None] = lambda step, loss: None,
) -> float:
    """Minimize a loss.

    Args:
        parameters: What is moved.
        draw_loss: The loss of a batch that it draws.
        fit: How.
        on_step: Called after each step with its number, from 1, and its loss, still on the device.

    Returns:
        The last loss.
    """
    optimizer = torch.optim.AdamW(parameters, fit.lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, fit.lr, fit.steps + 1, pct_start=0.1)
    loss = torch.zeros(())
    for step in range(1, fit.steps + 1):
        loss = draw_loss()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        on_step(step, loss.detach())
    return float(loss.detach())

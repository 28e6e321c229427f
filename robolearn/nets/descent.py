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


class Descent:
    """Steps of AdamW, at a rate that rises and falls once.

    Args:
        parameters: What is moved.
        fit: How.

    Attributes:
        optimizer: AdamW.
        step: Steps that are done.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], fit: FitConfig):
        self.optimizer, self.step = torch.optim.AdamW(parameters, fit.lr), 0
        self._rate = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, fit.lr, fit.steps + 1, pct_start=0.1)

    def advance(self, loss: Tensor) -> None:
        """One step down a loss."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._move()

    def skip(self, steps: int) -> None:
        """Let the rate be that of so many steps later; what has no gradients yet stays as it is."""
        for _ in range(steps):
            self._move()

    def _move(self) -> None:
        self.optimizer.step()
        self._rate.step()
        self.step += 1


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
    descent, loss = Descent(parameters, fit), torch.zeros(())
    while descent.step < fit.steps:
        loss = draw_loss()
        descent.advance(loss)
        on_step(descent.step, loss.detach())
    return float(loss.detach())

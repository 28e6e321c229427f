"""Dropout: which shares there can be, a quick one, and one network drawn from all those that dropout trains at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from robolearn.errors import UserError


def check_dropout(owner: str, share: float | None) -> None:
    """Raise a UserError unless this share of channels can be dropped, or is left open."""
    if share is not None and not 0 <= share < 1:
        raise UserError(f"{owner}: dropout {share} must be in [0, 1)")


class Dropout(nn.Dropout):
    """Dropout whose mask costs a CPU a third of the time.

    torch draws a whole random number for each channel. A channel needs 16 bits of one, so that a word of 64 serves
    four; the share that is dropped is met within 2^-17. On a GPU torch's own kernel draws, drops and scales in one.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Zero a share of the channels in training, and scale the others by what that takes from the mean."""
        if not self.training or self.p == 0 or x.device.type != "cpu":
            return super().forward(x)
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)  # from, to: all 64 bits
        draws = words.view(torch.int16)[: x.numel()].view(x.shape)
        kept = draws >= min(round(self.p * 2**16), 2**16 - 1) - 2**15
        return x * kept.to(x.dtype).mul_(1 / (1 - self.p))


def replace_dropout(net: nn.Module) -> None:
    """Put the quick one wherever torch's own layers have theirs; inside attention theirs stays."""
    for module in list(net.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, Dropout(child.p))


@contextmanager
def fixed_dropout(net: nn.Module, *, generator: torch.Generator) -> Iterator[None]:
    """Drop the same channels for every row and at every call, in evaluation mode, as long as the context lasts.

    A mask that is new for every row, as in training, would make each sample that of another network: what differs
    between networks and what differs between samples could not be told apart. Dropout inside attention stays off.

    Args:
        net: In evaluation mode, with layers of dropout.
        generator: On the network's device; draws the masks.

    Source: Gal and Ghahramani 2016, arXiv:1506.02142; equal masks as in Kirsch et al. 2019, arXiv:1906.08158.

    Raises:
        UserError: The network has no dropout above 0.
    """
    layers = [module for module in net.modules() if isinstance(module, nn.Dropout) and module.p > 0]
    if not layers:
        raise UserError("the policy has no dropout; train it with `backbone.dropout` above 0 (mlp or transformer)")
    assert not any(layer.training for layer in layers), "in training dropout would act twice"
    masks: dict[nn.Module, Tensor] = {}

    def drop(layer: nn.Dropout, _: tuple[Tensor], x: Tensor) -> Tensor:
        if layer not in masks:  # the number of channels is known at the first call
            kept = torch.rand(x.shape[-1], generator=generator, device=generator.device) >= layer.p
            masks[layer] = kept / (1 - layer.p)
        return x * masks[layer].to(x)

    hooks = [layer.register_forward_hook(drop) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()

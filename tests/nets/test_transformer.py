"""Which attention the transformer takes, and that it makes no difference but in time."""

import dataclasses
from contextlib import nullcontext

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from robolearn.nets import transformer
from robolearn.nets.backbone import Shapes
from robolearn.nets.transformer import LONGEST_PLAIN, TransformerConfig

SHAPES = Shapes(3, 2, 4, 2, 5, 1)


class Operations(TorchDispatchMode):
    """Collects the names of all operations."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(str(func))
        return func(*args, **(kwargs or {}))


def build(actions):
    torch.manual_seed(0)
    shapes = dataclasses.replace(SHAPES, action_horizon=actions)
    return TransformerConfig(width=16, num_heads=2).build(shapes), (
        torch.randn(2, actions, 3),
        torch.randn(2, 2, 5),
        torch.rand(2, 1),
    )


@pytest.mark.parametrize(
    ("actions", "train", "fused"),
    [(16, True, False), (LONGEST_PLAIN, True, False), (LONGEST_PLAIN + 1, True, True), (16, False, True)],
)
def test_short_chunks_are_trained_without_the_fused_kernel(actions, train, fused):
    net, inputs = build(actions)
    with Operations() as seen, nullcontext() if train else torch.no_grad():
        net.train(train)(*inputs)
    assert any("flash_attention" in name or "transformer_encoder" in name for name in seen.names) == fused


def test_gradients_are_those_of_the_fused_kernel(monkeypatch):
    gradients = []
    for longest in (LONGEST_PLAIN, 0):
        monkeypatch.setattr(transformer, "LONGEST_PLAIN", longest)
        net, inputs = build(16)
        net.train()(*inputs).square().sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]))
    assert torch.allclose(*gradients, rtol=1e-4, atol=1e-5)
    assert not torch.equal(*gradients)  # two kernels

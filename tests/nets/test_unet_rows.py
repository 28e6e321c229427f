"""The U-Net in training on a CPU: other operations, the same numbers."""

from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from robolearn.nets.backbone import Shapes
from robolearn.nets.unet import UNetConfig
from robolearn.nets.unet_rows import Copies, whole_convolutions

CHUNKS = 5


class Counted(TorchDispatchMode):
    """How often each operation was called."""

    def __init__(self):
        super().__init__()
        self.calls = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def make(horizon, kernel_size=5):
    torch.manual_seed(0)
    cfg = UNetConfig(widths=(8, 16, 16), num_groups=2, time_dim=8, kernel_size=kernel_size)
    net = cfg.build(Shapes(3, 2, horizon, 2, 5, 1))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    x = torch.randn(CHUNKS, horizon, 3, requires_grad=True)
    return net, (x, torch.randn(CHUNKS, 2, 5), torch.rand(CHUNKS, 1))


def gradients(net, inputs):
    """The chunks, and the gradient of everything that has one."""
    chunks = net(*inputs)
    wanted = [inputs[0], *net.parameters()]
    return chunks, *torch.autograd.grad(chunks.float().square().sum(), wanted)


@pytest.mark.parametrize("horizon", [1, 5, 8, 16, 24])
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_chunks_and_gradients_are_those_of_the_library(horizon, kernel_size):
    net, inputs = make(horizon, kernel_size)
    ours = gradients(net, inputs)
    with whole_convolutions():
        theirs = gradients(net, inputs)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_in_bfloat16_they_are_as_exact_as_the_library():
    """By how far all gradients together are from those in float32."""
    net, inputs = make(16)
    exact = gradients(net, inputs)
    with torch.autocast("cpu", torch.bfloat16):
        ours = gradients(net, inputs)
        with whole_convolutions():
            theirs = gradients(net, inputs)

    def error(grads):
        return sum((a - b).float().square().sum() for a, b in zip(grads, exact, strict=True))

    assert 0 < error(ours) < 1.5 * error(theirs)


def test_few_steps_are_products_and_many_are_convolutions():
    """Of 16, 8 and 4 steps the 8 are products in bfloat16 too."""
    net, inputs = make(16)
    counts = {}
    for is_low in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=is_low), Counted() as counted:
            net(*inputs)
        counts[is_low] = counted.calls["convolution"]
    with Counted() as counted, whole_convolutions():
        net(*inputs)
    assert counted.calls["convolution"] > counts[False] > counts[True] > 0


@pytest.mark.parametrize(("size", "stride", "padding"), [(5, 1, 2), (3, 2, 1), (3, 1, 0)])
def test_copies_are_differentiated_once_and_twice(size, stride, padding):
    x = torch.randn(2, 7, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(Copies.apply, (x, size, stride, padding))
    assert torch.autograd.gradgradcheck(lambda x: Copies.apply(x, size, stride, padding).square(), (x,))

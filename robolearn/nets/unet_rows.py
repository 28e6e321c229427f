"""The U-Net of a single chunk as matrix products: what a plan for one robot is, and what the library does slowly.

For one chunk torch's convolution on a CPU multiplies the weights with 4 to 16 shifted columns, and reads them at half
the speed that memory has; and each of its layers costs as much of Python's time as of arithmetic. Here a chunk is a
matrix [t, d], its shifted copies are rows, and the weights lie as their product reads them:

    [t, d_in]  ->  copies [t', k d_in]  x  weights [k d_in, d_out]  ->  [t', d_out]
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch._C._functorch import peek_interpreter_stack

if TYPE_CHECKING:
    from robolearn.nets.backbone import Factors

_whole = False


@contextmanager
def whole_convolutions() -> Iterator[None]:
    """Convolutions as one operation each also for a single chunk, for graphs that others compute."""
    global _whole
    before, _whole = _whole, True
    try:
        yield
    finally:
        _whole = before


def is_single(net: nn.Module, x: Tensor) -> bool:
    """Whether a chunk is alone and on a CPU, and nothing is to be learned from it or derived of it."""
    is_transformed = peek_interpreter_stack() is not None  # in torch.func's vmap, jvp, ...
    is_plan = not (net.training or torch.is_grad_enabled() or is_transformed or _whole)
    return is_plan and len(x) == 1 and x.device.type == "cpu" and x.dtype == torch.float32


class RowUNet:
    """The parts of a U-Net as functions of matrices [t, d]; see `UNet` for what they are."""

    time_axis: ClassVar[int] = 0

    def __init__(self, net: Any):
        self.down = [[RowBlock(block) for block in pair] for pair in net.down]
        self.shrink = [RowConvolution(conv) for conv in net.shrink]
        self.middle = [RowBlock(block) for block in net.middle]
        self.up = [[RowBlock(block) for block in pair] for pair in net.up]
        self.head, self.out = RowConvolution(*net.head), RowConvolution(net.out)


class RowBlock:
    """Two convolutions with FiLM between them, plus the (projected) input."""

    def __init__(self, block: Any):
        self.first, self.second = RowConvolution(*block.first), RowConvolution(*block.second)
        self.skip = RowConvolution(block.skip) if isinstance(block.skip, nn.Conv1d) else None

    def __call__(self, x: Tensor, film: Factors) -> Tensor:
        """Residual update at one resolution."""
        scale, shift = film
        h = self.first(x)
        h = self.second(torch.addcmul(h + shift, h, scale))
        return h.add_(x if self.skip is None else self.skip(x))


class RowConvolution:
    """A convolution over time with zero padding, and where they are given the normalization and SiLU behind it."""

    def __init__(self, conv: nn.Module, norm: nn.Module | None = None, _: nn.Module | None = None):
        assert isinstance(conv, nn.Conv1d)
        assert conv.bias is not None
        (self.size,), (self.stride,) = conv.kernel_size, conv.stride
        self.border = conv.weight.new_zeros(int(conv.padding[0]), conv.in_channels)
        self.weights, self.bias = conv.weight.permute(2, 1, 0).flatten(0, 1).contiguous(), conv.bias
        is_normal = isinstance(norm, nn.GroupNorm)
        self.norm = (norm.num_groups, norm.weight, norm.bias, norm.eps) if is_normal else None

    def __call__(self, x: Tensor) -> Tensor:
        """Map [t, d_in] to [t', d_out]."""
        if self.size > 1:
            channels, stride = x.shape[1], self.stride
            x = torch.cat([self.border, x, self.border])
            steps = (x.shape[0] - self.size) // stride + 1
            x = x.as_strided((steps, self.size * channels), (stride * channels, 1))
        x = torch.addmm(self.bias, x, self.weights)
        if self.norm is None:
            return x
        steps, channels = x.shape
        # As an image [1, d, 1, t] with the channels last it need not be copied.
        image = x.as_strided((1, channels, 1, steps), (steps * channels, 1, steps * channels, channels))
        normal = torch.group_norm(image, *self.norm)
        return nn.functional.silu(normal.as_strided((steps, channels), (channels, 1)), inplace=True)


class Remembered:
    """What was made of a network's weights, as long as these are the same.

    That is what torch counts. It does not notice who writes through ``weight.data``; `forget` is for that.
    """

    def __init__(self) -> None:
        self._of: tuple[tuple[int, int], ...] = ()
        self._made: RowUNet | None = None

    def get(self, net: nn.Module) -> RowUNet:
        """The network for a single chunk."""
        of = tuple((weight.data_ptr(), weight._version) for weight in net.parameters())
        if self._made is None or self._of != of:
            self._of, self._made = of, RowUNet(net)
        return self._made

    def forget(self) -> None:
        """Make it anew the next time."""
        self._made = None

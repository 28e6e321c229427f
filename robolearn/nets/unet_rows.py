"""The U-Net on a CPU: chunks are rows [t, d], and convolutions are matrix products where these are faster.

    [t, d_in]  ->  copies [t', k d_in]  x  weights [k d_in, d_out]  ->  [t', d_out]

Of a single chunk all are. That is what a plan for one robot is, and what the library does slowly: it multiplies the
weights with 4 to 16 shifted columns, and reads them at half the speed that memory has; and each of its layers costs as
much of Python's time as of arithmetic. Here the weights lie as their product reads them.

In training, of many chunks [b, t, d], those with few steps are, where the library takes up to three times as long, most
of it for the gradient of the weights. The others are the library's, of images [b, d, 1, t] whose channels come last;
that is how rows lie in memory, and faster than with the steps last. Many plans at once gain nothing, and do without.
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

FEW_STEPS, FEW_STEPS_LOW = 4, 8
"""Up to so many steps the product of many chunks is faster than the convolution; in bfloat16."""

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


def takes_rows(x: Tensor) -> bool:
    """Whether chunks pass as rows: on a CPU, and where nobody asks for a graph of the operations."""
    is_transformed = peek_interpreter_stack() is not None  # in torch.func's vmap, jvp, ...
    is_asked = is_transformed or _whole or torch.compiler.is_compiling()
    return not is_asked and x.device.type == "cpu" and x.dtype == torch.float32


class RowUNet:
    """The parts of a U-Net as functions of rows; see `UNet` for what they are.

    Args:
        net: The U-Net.
        kind: RowConvolution for a chunk [t, d], RowsConvolution for chunks [b, t, d].
    """

    time_axis: ClassVar[int] = -2
    channel_axis: ClassVar[int] = -1

    def __init__(self, net: Any, kind: type[RowConvolution | RowsConvolution]):
        self.is_single = kind is RowConvolution
        self.down = [[RowBlock(block, kind) for block in pair] for pair in net.down]
        self.shrink = [kind(conv) for conv in net.shrink]
        self.middle = [RowBlock(block, kind) for block in net.middle]
        self.up = [[RowBlock(block, kind) for block in pair] for pair in net.up]
        self.head, self.out = kind(*net.head), kind(net.out)


class RowBlock:
    """Two convolutions with FiLM between them, plus the (projected) input."""

    def __init__(self, block: Any, kind: type[RowConvolution | RowsConvolution]):
        self.first, self.second = kind(*block.first), kind(*block.second)
        self.skip = kind(block.skip) if isinstance(block.skip, nn.Conv1d) else None

    def __call__(self, x: Tensor, film: Factors) -> Tensor:
        """Residual update at one resolution."""
        scale, shift = film
        h = self.first(x)
        h = self.second(torch.addcmul(h + shift, h, scale))
        return h.add_(x if self.skip is None else self.skip(x))


class RowConvolution:
    """A convolution over time with zero padding, and where they are given the normalization and SiLU behind it.

    Of a chunk alone; the weights are laid out once.
    """

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


class RowsConvolution:
    """The same of many chunks [b, t, d], in training: weights are taken as they are in each step."""

    def __init__(self, conv: nn.Module, norm: nn.Module | None = None, _: nn.Module | None = None):
        assert isinstance(conv, nn.Conv1d)
        self.conv, self.norm = conv, norm

    def __call__(self, x: Tensor) -> Tensor:
        """Map [b, t, d_in] to [b, t', d_out]."""
        (size,), (stride,), padding = self.conv.kernel_size, self.conv.stride, int(self.conv.padding[0])
        steps = (x.shape[1] + 2 * padding - size) // stride + 1
        is_low = torch.is_autocast_enabled("cpu")
        if size == 1 or steps <= (FEW_STEPS_LOW if is_low else FEW_STEPS):
            x = x.to(torch.get_autocast_dtype("cpu")) if is_low else x  # before there are copies of it
            copies = x if size == 1 else Copies.apply(x, size, stride, padding)
            x = nn.functional.linear(copies, self.conv.weight.transpose(1, 2).flatten(1), self.conv.bias)
        else:
            weight = self.conv.weight.unsqueeze(2).contiguous(memory_format=torch.channels_last)
            x = as_rows(nn.functional.conv2d(as_images(x), weight, self.conv.bias, (1, stride), (0, padding)))
        if not isinstance(self.norm, nn.GroupNorm):
            return x
        normal = nn.functional.group_norm(
            as_images(x), self.norm.num_groups, self.norm.weight, self.norm.bias, self.norm.eps
        )
        return nn.functional.silu(as_rows(normal))


class Copies(torch.autograd.Function):
    """What a convolution sees at each of its steps, side by side: [b, t, d] -> [b, t', k d].

    Torch's own gradient of so many slices makes and adds a whole tensor for each of them.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, size: int, stride: int, padding: int) -> Tensor:
        """See above."""
        ctx.layout, ctx.shape = (size, stride, padding), x.shape
        padded = nn.functional.pad(x, (0, 0, padding, padding))
        return torch.cat(list(_slices(padded, size, stride)), dim=2)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of a step is the sum of its copies'."""
        (size, stride, padding), (b, t, d) = ctx.layout, ctx.shape
        padded = grads[0].new_zeros(b, t + 2 * padding, d)
        for into, grad in zip(_slices(padded, size, stride), grads[0].split(d, dim=2), strict=True):
            into.add_(grad)
        return padded[:, padding : padding + t], None, None, None


def _slices(padded: Tensor, size: int, stride: int) -> Iterator[Tensor]:
    """What each of a convolution's weights sees, [b, t', d] each."""
    end = (padded.shape[1] - size) // stride * stride + 1
    for first in range(size):
        yield padded[:, first : first + end : stride]


def as_images(x: Tensor) -> Tensor:
    """Rows [b, t, d] as images [b, d, 1, t] whose channels come last; nothing is copied."""
    return x.transpose(1, 2).unsqueeze(2)


def as_rows(x: Tensor) -> Tensor:
    """And back."""
    return x.squeeze(2).transpose(1, 2)


class Remembered:
    """What was made of a network's weights, as long as these are the same.

    That is what torch counts. It does not notice who writes through ``weight.data``; `forget` is for that.
    """

    def __init__(self) -> None:
        self._versions: tuple[tuple[int, int], ...] = ()
        self._made: RowUNet | None = None

    def get(self, net: nn.Module) -> RowUNet:
        """The network for a single chunk."""
        versions = tuple((weight.data_ptr(), weight._version) for weight in net.parameters())
        if self._made is None or self._versions != versions:
            self._versions, self._made = versions, RowUNet(net, RowConvolution)
        return self._made

    def forget(self) -> None:
        """Make it anew the next time."""
        self._made = None

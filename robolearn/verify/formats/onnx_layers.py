"""Convolutions, pooling, sums and normalizations of ONNX, as functions of torch; see `onnx_operations.py`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from robolearn.errors import UserError
from robolearn.verify.formats.onnx_call import Call, Operation


@dataclass(frozen=True)
class Window:
    """What moves over all axes but the first two, a number for each of these axes.

    Attributes:
        kernel: Its size.
        strides: How far it moves.
        dilations: How far its elements are apart.
        before: Padding before the first number.
        after: Padding after the last.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def reach(self) -> list[int]:
        """How many numbers it spans."""
        return [dilation * (size - 1) + 1 for dilation, size in zip(self.dilations, self.kernel, strict=True)]


def _window(call: Call, x: Tensor, kernel: Sequence[int]) -> Window:
    axes = x.dim() - 2
    strides, dilations = call.attribute("strides", [1] * axes), call.attribute("dilations", [1] * axes)
    pads, mode = call.attribute("pads", [0] * 2 * axes), call.attribute("auto_pad", "NOTSET")
    if not len(kernel) == len(strides) == len(dilations) == len(pads) / 2 == axes:
        raise UserError(f"its window has not the {axes} axes of what it moves over")
    pads = [0] * 2 * axes if mode == "VALID" else pads
    window = Window(*map(tuple, (kernel, strides, dilations, pads[:axes], pads[axes:])))
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        spans = zip(x.shape[2:], window.strides, window.reach, strict=True)
        missing = [max((-(-size // stride) - 1) * stride + reach - size, 0) for size, stride, reach in spans]
        sides = tuple(one // 2 for one in missing), tuple(one - one // 2 for one in missing)
        before, after = sides if mode == "SAME_UPPER" else sides[::-1]
        return replace(window, before=before, after=after)
    if mode not in ("NOTSET", "VALID"):
        raise UserError(f"auto_pad {mode} is not supported")
    return window


def _padded(x: Tensor, before: Sequence[int], after: Sequence[int], value: float) -> Tensor:
    """With so many numbers before and after each of the last axes."""
    pairs = [side for both in zip(before[::-1], after[::-1], strict=True) for side in both]
    return functional.pad(x, pairs, value=value) if any(pairs) else x


def _convolution(call: Call) -> Tensor:
    x, weight, bias, axes = call.tensor(0), call.tensor(1), call.optional(2), call.tensor(0).dim() - 2
    kernel = call.attribute("kernel_shape", list(weight.shape[2:]))
    if kernel != list(weight.shape[2:]):
        raise UserError(f"its kernel_shape {kernel} is not that of its weights")
    if axes not in (1, 2, 3):
        raise UserError(f"a convolution over {axes} axes is not supported")
    window, groups = _window(call, x, kernel), call.attribute("group", 1)
    convolution = (functional.conv1d, functional.conv2d, functional.conv3d)[axes - 1]
    x = _padded(x, window.before, window.after, 0.0)
    return convolution(x, weight, bias, window.strides, 0, window.dilations, groups)


def _pooled(call: Call, pool: Callable[[Tensor, Window], Tensor]) -> Tensor:
    """What a pool of two axes makes of the input; one axis is taken for two."""
    x = call.tensor(0)
    if x.dim() not in (3, 4):
        raise UserError(f"pooling over {x.dim() - 2} axes is not supported")
    window = _window(call, x, call.attribute("kernel_shape", []))
    sizes = [sum(one) for one in zip(x.shape[2:], window.before, window.after, strict=True)]
    spans = zip(sizes, window.reach, window.strides, strict=True)
    if call.attribute("ceil_mode", 0) and any((size - reach) % stride for size, reach, stride in spans):
        raise UserError("ceil_mode 1 is not supported where windows go beyond the end")
    if x.dim() == 4:
        return pool(x, window)
    wide = Window(*((first, *rest) for first, rest in zip((1, 1, 1, 0, 0), astuple(window), strict=True)))
    return pool(x.unsqueeze(2), wide).squeeze(2)


def _max_pool(call: Call) -> Tensor:
    call.only("storage_order", 0)

    def pool(x: Tensor, window: Window) -> Tensor:
        """Where both sides are padded alike torch does it, which there are bounds for."""
        alike = window.before == window.after and all(
            2 * pad <= size for pad, size in zip(window.before, window.kernel, strict=True)
        )
        padded = x if alike else _padded(x, window.before, window.after, -math.inf)
        padding = window.before if alike else 0
        return functional.max_pool2d(padded, window.kernel, window.strides, padding, window.dilations)

    return _pooled(call, pool)


def _average_pool(call: Call) -> Tensor:
    """The mean of a window; what was padded counts only if count_include_pad says so."""
    counts = call.attribute("count_include_pad", 0)

    def pool(x: Tensor, window: Window) -> Tensor:
        if set(window.dilations) != {1}:
            raise UserError("dilations of averages are not supported")
        means = functional.avg_pool2d(_padded(x, window.before, window.after, 0.0), window.kernel, window.strides)
        if counts or not any(window.before + window.after):
            return means
        ones = _padded(torch.ones((1, 1, *x.shape[2:]), dtype=x.dtype), window.before, window.after, 0.0)
        return means * functional.avg_pool2d(ones, window.kernel, window.strides).reciprocal()

    return _pooled(call, pool)


def _global_average_pool(call: Call) -> Tensor:
    x = call.tensor(0)
    return x.mean(tuple(range(2, x.dim())), keepdim=True)


def _batch_normalization(call: Call) -> Tensor:
    """With the statistics of the file, not those of a batch."""
    x, (gain, bias, mean, variance) = call.tensor(0), (call.tensor(i) for i in range(1, 5))
    call.only("training_mode", 0)
    call.only("spatial", 1)
    call.ignore("momentum", "is_test")
    scale = gain / (variance + call.attribute("epsilon", 1e-5)).sqrt()
    shape = [1, -1, *[1] * (x.dim() - 2)]
    return x * scale.reshape(shape) + (bias - mean * scale).reshape(shape)


def _layer_normalization(call: Call) -> Tensor:
    x, gain, bias = call.tensor(0), call.tensor(1), call.optional(2)
    call.only("stash_type", 1)
    axis = call.attribute("axis", -1)
    return functional.layer_norm(x, x.shape[axis:], gain, bias, call.attribute("epsilon", 1e-5))


def _reduced(function: Callable[..., Tensor], since: int) -> Operation:
    def operation(call: Call) -> Tensor:
        x, axes = call.tensor(0), call.axes(since)
        keep, nothing = bool(call.attribute("keepdims", 1)), call.attribute("noop_with_empty_axes", 0)
        if not axes and nothing:
            return x
        return function(x, tuple(axes or range(x.dim())), keepdim=keep)

    return operation


def _pad(call: Call) -> Tensor:
    """With one number around."""
    x = call.tensor(0)
    call.only("mode", "constant")
    if call.opset < 11:
        given = call.attribute("pads", [])
        return _padded(x, given[: x.dim()], given[x.dim() :], call.attribute("value", 0.0))
    value, axes = call.fixed(2), call.axes(since=11, index=3)
    given = call.numbers(1)
    axes = list(range(x.dim())) if axes is None else [axis if axis >= 0 else axis + x.dim() for axis in axes]
    before, after = [0] * x.dim(), [0] * x.dim()
    for i, axis in enumerate(axes):
        before[axis], after[axis] = given[i], given[i + len(axes)]
    return _padded(x, before, after, 0.0 if value is None else float(value))


LAYERS: dict[str, Operation] = {
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_normalization,
    "Conv": _convolution,
    "GlobalAveragePool": _global_average_pool,
    "LayerNormalization": _layer_normalization,
    "MaxPool": _max_pool,
    "Pad": _pad,
    "ReduceMean": _reduced(torch.mean, since=18),
    "ReduceSum": _reduced(torch.sum, since=13),
}
"""Name in ONNX -> what computes it."""

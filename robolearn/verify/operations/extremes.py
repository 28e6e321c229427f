"""The greatest of some numbers: pooled, along axes, or of two tensors."""

from __future__ import annotations

from typing import Any

import torch

from robolearn.errors import UserError
from robolearn.nets.tape import Operation
from robolearn.verify.builder import Builder, Lowering
from robolearn.verify.expression import Expression, stacked


def _max_pool(builder: Builder, operation: Operation) -> list[Expression]:
    x = builder.expression(operation.args[0])
    size, stride, padding, dilation, ceil = (*operation.args[1:], *((), 0, 1, False)[len(operation.args) - 2 :])
    if ceil or set(torch.tensor(dilation).flatten().tolist()) != {1}:
        raise UserError("the network pools with dilation or rounds up, for which there are no bounds")
    (height, width), (down, right) = _pair(size), _pair(stride or size)
    vertical, horizontal = _pair(padding)
    index = torch.nn.functional.pad(x.indices, (horizontal, horizontal, vertical, vertical), value=-1)
    groups = index.unfold(-2, height, down).unfold(-2, width, right).flatten(-2)
    return [builder.maximum(x, torch.where(groups < 0, groups.amax(-1, keepdim=True), groups))]


def _pair(value: Any) -> tuple[int, int]:
    numbers = [value] if isinstance(value, int) else list(value)
    return (numbers[0], numbers[-1])


def _amax(builder: Builder, operation: Operation) -> Expression:
    """The greatest number along axes."""
    axes, keep = (*operation.args[1:], *((), False)[len(operation.args) - 1 :])
    given = builder.expression(operation.args[0])
    every = range(len(given.shape))
    chosen = [every[axis] for axis in ([axes] if isinstance(axes, int) else axes or every)]
    rest = [axis for axis in every if axis not in chosen]
    groups = given.indices.permute(*rest, *chosen).flatten(len(rest))
    out = builder.maximum(given, groups)
    shape = [1 if axis in chosen else size for axis, size in enumerate(given.shape)] if keep else groups.shape[:-1]
    return out.rows(out.indices.reshape(tuple(shape)))


def _max(builder: Builder, operation: Operation) -> list[Expression] | Expression:
    """The greatest number of all, or along an axis, where it also returns which that is."""
    out = _amax(builder, operation)
    return [out] if operation.name.startswith("aten.max.dim") else out


def _extreme(sign: float) -> Lowering:
    """The greater (sign 1) or the smaller (sign -1) of two tensors, number by number."""

    def lowering(builder: Builder, operation: Operation) -> Expression:
        pair = [builder.expression(one) for one in operation.args[:2]]
        shape = torch.broadcast_shapes(*(one.shape for one in pair))
        whole = stacked([one.rows(one.indices.expand(shape)) for one in pair])
        whole = builder.arithmetic.scale(whole, torch.tensor(sign))
        half = torch.arange(shape.numel()).view(shape)
        return builder.arithmetic.scale(
            builder.maximum(whole, torch.stack([half, half + shape.numel()], -1)), torch.tensor(sign)
        )

    return lowering


EXTREMES: dict[str, Lowering] = {
    "max_pool2d_with_indices": _max_pool,
    "amax": _amax,
    "max": _max,
    "maximum": _extreme(1.0),
    "minimum": _extreme(-1.0),
}

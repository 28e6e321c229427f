"""The operations of ONNX that are read, one function of torch each, as the standard defines them (onnx.ai)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from robolearn.errors import UserError
from robolearn.verify.formats.onnx_call import Call, Operation
from robolearn.verify.formats.onnx_layers import LAYERS


def _elementwise(function: Callable[..., Tensor]) -> Operation:
    return lambda call: function(call.tensor(0))


def _binary(function: Callable[..., Tensor]) -> Operation:
    def operation(call: Call) -> Tensor:
        """Both are broadcast as in numpy; before version 7 that had to be asked for, along an axis."""
        left, right = call.tensor(0), call.tensor(1)
        if call.opset < 7:
            call.only("broadcast", 0, 1)
            call.only("axis", None, left.dim() - right.dim())
        return function(left, right)

    return operation


def _divided(left: Tensor, right: Tensor) -> Tensor:
    """Integers, as in the arithmetic of shapes, are cut toward zero."""
    whole = not (left.is_floating_point() or right.is_floating_point())
    return torch.div(left, right, rounding_mode="trunc" if whole else None)


def _gemm(call: Call) -> Tensor:
    """The matrix alpha A B + beta C.

    Writers of old files feed it more axes and mean what Caffe2 did: all but the first become one.
    """
    call.only("broadcast", 0, 1)
    left, right, bias = call.tensor(0), call.tensor(1), call.optional(2)
    left = left.flatten(1) if left.dim() > 2 else left
    left = left.T if call.attribute("transA", 0) else left
    right = right.T if call.attribute("transB", 0) else right
    alpha, beta = call.attribute("alpha", 1.0), call.attribute("beta", 1.0)
    product = left @ right if alpha == 1 else left @ right * alpha
    return product if bias is None else product + (bias if beta == 1 else bias * beta)


def _flatten(call: Call) -> Tensor:
    x, axis = call.tensor(0), call.attribute("axis", 1)
    return x.reshape(math.prod(x.shape[: axis if axis >= 0 else axis + x.dim()]), -1)


def _reshape(call: Call) -> Tensor:
    """A zero stands for the size that there is, unless zeros are allowed."""
    x, zero = call.tensor(0), call.attribute("allowzero", 0)
    shape = call.numbers(1) if call.opset >= 5 else call.attribute("shape", [])
    return x.reshape([x.shape[i] if size == 0 and not zero else size for i, size in enumerate(shape)])


def _squeeze(call: Call) -> Tensor:
    x, axes = call.tensor(0), call.axes(since=13)
    for axis in axes or ():
        if x.shape[axis] != 1:
            raise UserError(f"axis {axis} has {x.shape[axis]} numbers, not 1")
    return x.squeeze() if axes is None else x.squeeze(tuple(axes))


def _unsqueeze(call: Call) -> Tensor:
    x, axes = call.tensor(0), call.axes(since=13)
    if axes is None:
        raise UserError("it has no axes")
    rank = x.dim() + len(axes)
    for axis in sorted(axis if axis >= 0 else axis + rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _transpose(call: Call) -> Tensor:
    x = call.tensor(0)
    return x.permute(call.attribute("perm", list(range(x.dim()))[::-1]))


def _concat(call: Call) -> Tensor:
    return torch.cat([call.tensor(i) for i in range(len(call.inputs))], call.attribute("axis", 1))


def _slice(call: Call) -> Tensor:
    """As in numpy, also backward."""
    x, inputs = call.tensor(0), call.opset >= 10
    starts = call.numbers(1) if inputs else call.attribute("starts", [])
    ends = call.numbers(2) if inputs else call.attribute("ends", [])
    axes = call.axes(since=10, index=3) or list(range(len(starts)))
    steps = call.numbers(4) if inputs and call.optional(4) is not None else [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        chosen = range(*slice(start, end, step).indices(x.shape[axis]))
        x = x.index_select(axis, torch.tensor(list(chosen), dtype=torch.int64))
    return x


def _split(call: Call) -> list[Tensor]:
    x, axis = call.tensor(0), call.attribute("axis", 0)
    sizes = call.attribute("split", None) if call.opset < 13 else None
    if call.opset >= 13 and call.optional(1) is not None:
        sizes = call.numbers(1)
    if sizes is None:
        parts = call.attribute("num_outputs", call.num_outputs)
        return list(x.split(-(-x.shape[axis] // parts), axis))
    return list(x.split(sizes, axis))


def _gather(call: Call) -> Tensor:
    x, axis, shape = call.tensor(0), call.attribute("axis", 0), list(call.tensor(1).shape)
    axis = axis if axis >= 0 else axis + x.dim()
    chosen = [i if i >= 0 else i + x.shape[axis] for i in call.numbers(1)]
    rows = x.index_select(axis, torch.tensor(chosen, dtype=torch.int64))
    return rows.reshape([*x.shape[:axis], *shape, *x.shape[axis + 1 :]])


def _shape(call: Call) -> Tensor:
    shape = list(call.tensor(0).shape)
    return torch.tensor(shape[call.attribute("start", 0) : call.attribute("end", None)], dtype=torch.int64)


def _expand(call: Call) -> Tensor:
    x = call.tensor(0)
    return x.expand(torch.broadcast_shapes(x.shape, call.numbers(1)))


def _constant(call: Call) -> Tensor:
    kinds = ("value", "value_float", "value_floats", "value_int", "value_ints")
    values = [value for kind in kinds if (value := call.attribute(kind, None)) is not None]
    if len(values) != 1:
        raise UserError("it has no number")
    return torch.as_tensor(values[0])


def _cast(call: Call) -> Tensor:
    """Between the numbers of the network and others, which only what does not depend on the input may become.

    What a narrower type rounds stays rounded.
    """
    kinds = {1: torch.float32, 11: torch.float64, 10: torch.float16, 6: torch.int64, 7: torch.int64, 9: torch.bool}
    own = {torch.float32: 1, torch.float64: 11}[call.own_dtype]
    kind = call.attribute("to", own)
    call.only("saturate", 1)
    if kind not in kinds or (0 in call.reached and kind != own):
        raise UserError(f"a cast to the type {kind} is not supported")
    if 0 in call.reached:
        return call.tensor(0)
    cast = call.tensor(0).to(kinds[kind])
    return cast.to(call.dtype) if cast.is_floating_point() else cast


def _leaky_relu(call: Call) -> Tensor:
    return functional.leaky_relu(call.tensor(0), call.attribute("alpha", 0.01))


def _clip(call: Call) -> Tensor:
    if call.opset < 11:
        lower, upper = call.attribute("min", None), call.attribute("max", None)
    else:
        lower, upper = (None if (one := call.fixed(i)) is None else one.item() for i in (1, 2))
    return call.tensor(0) if lower is None and upper is None else call.tensor(0).clamp(lower, upper)


def _softmax(call: Call) -> Tensor:
    """Along an axis; before version 13 over all axes from it on."""
    x = call.tensor(0)
    if call.opset >= 13:
        return x.softmax(call.attribute("axis", -1))
    return x.flatten(call.attribute("axis", 1)).softmax(-1).reshape(x.shape)


def _gelu(call: Call) -> Tensor:
    return functional.gelu(call.tensor(0), approximate=call.attribute("approximate", "none"))


def _power(call: Call) -> Tensor:
    exponent = call.fixed(1)
    if exponent is None or exponent.numel() != 1:
        raise UserError("an exponent that is not one number is not supported")
    return call.tensor(0) ** exponent.item()


def _extreme(function: Callable[..., Tensor]) -> Operation:
    def operation(call: Call) -> Tensor:
        extreme = call.tensor(0)
        for i in range(1, len(call.inputs)):
            extreme = function(extreme, call.tensor(i))
        return extreme

    return operation


def _dropout(call: Call) -> Tensor:
    """Nothing: it is for training."""
    call.ignore("ratio", "seed", "is_test")
    training = call.fixed(2)
    if training is not None and bool(training):
        raise UserError("it is in training mode")
    return call.tensor(0)


OPERATIONS: dict[str, Operation] = {
    "Abs": _elementwise(torch.abs),
    "Add": _binary(torch.add),
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Constant": _constant,
    "Cos": _elementwise(torch.cos),
    "Div": _binary(_divided),
    "Dropout": _dropout,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "Identity": _elementwise(lambda x: x),
    "LeakyRelu": _leaky_relu,
    "MatMul": _binary(torch.matmul),
    "Max": _extreme(torch.maximum),
    "Min": _extreme(torch.minimum),
    "Mul": _binary(torch.mul),
    "Neg": _elementwise(torch.neg),
    "Pow": _power,
    "Relu": _elementwise(torch.relu),
    "Reshape": _reshape,
    "Shape": _shape,
    "Sigmoid": _elementwise(torch.sigmoid),
    "Sin": _elementwise(torch.sin),
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Squeeze": _squeeze,
    "Sub": _binary(torch.sub),
    "Tanh": _elementwise(torch.tanh),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    **LAYERS,
}
"""Name in ONNX -> what computes it."""

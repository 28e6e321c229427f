"""Operations that are linear in what depends on the input, and products of two such."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from robolearn.errors import UserError
from robolearn.nets.tape import Operation
from robolearn.verify.builder import Builder, Lowering
from robolearn.verify.expression import Expression

LAYOUT = ("view", "_unsafe_view", "reshape", "expand", "clone", "alias", "detach", "unsqueeze", "squeeze", "transpose")
LAYOUT += ("permute", "t", "select", "slice", "split", "split_with_sizes", "unbind", "index_select", "index", "gather")
LAYOUT += ("cat", "stack", "repeat", "flip", "roll", "constant_pad_nd", "diagonal", "_reshape_alias")
SUMS = ("sum", "mean", "avg_pool2d", "_adaptive_avg_pool2d", "avg_pool1d", "cumsum")


def _layout(builder: Builder, operation: Operation) -> Any:
    if operation.name.startswith("aten.constant_pad_nd") and (*operation.args, 0)[2] != 0:
        raise UserError("the network pads with numbers other than 0, for which there are no bounds")
    return builder.layout(operation)


def _linear(builder: Builder, operation: Operation) -> Expression:
    """A linear operation of its first argument alone."""
    x, *rest = operation.args
    if operation.kwargs.get("dtype", x.dtype) not in (None, x.dtype):
        raise UserError(f"the network uses {operation.name} with another dtype, for which there are no bounds")
    return builder.linear(builder.expression(x), lambda e: _call(operation)(e, *rest))


def _call(operation: Operation) -> Callable[..., Any]:
    _, name, overload = operation.name.split(".")
    return getattr(getattr(torch.ops.aten, name), overload)


def _add(builder: Builder, operation: Operation) -> Expression:
    left, right = operation.args[:2]
    return _sum(builder, operation, left, right, _alpha(operation))


def _sub(builder: Builder, operation: Operation) -> Expression:
    left, right = operation.args[:2]
    return _sum(builder, operation, left, right, -_alpha(operation))


def _rsub(builder: Builder, operation: Operation) -> Expression:
    right, left = operation.args[:2]
    return _sum(builder, operation, left, right, -_alpha(operation))


def _alpha(operation: Operation) -> float:
    """What an operand is multiplied with before it is added; where that is a number it comes third."""
    return float((*operation.args, operation.kwargs.get("alpha", 1))[2])


def _sum(builder: Builder, operation: Operation, left: Any, right: Any, factor: float) -> Expression:
    """Left + factor right; a factor rounds once more."""
    left, right = (builder.expression(_operand(builder, operation, one)) for one in (left, right))
    if abs(factor) != 1:
        right, factor = builder.arithmetic.scale(right, torch.tensor(factor, dtype=operation.result.dtype)), 1.0
    return builder.arithmetic.add(left, right, factor)


def _operand(builder: Builder, operation: Operation, value: Any) -> Any:
    """What depends on the input as it is, and a constant in the dtype that the operation computes in."""
    return value if builder.is_variable(value) else torch.as_tensor(value, dtype=operation.result.dtype)


def _neg(builder: Builder, operation: Operation) -> Expression:
    return builder.arithmetic.scale(builder.expression(operation.args[0]), torch.tensor(-1.0))


def _mul(builder: Builder, operation: Operation) -> Expression:
    return multiplied(builder, *(_operand(builder, operation, one) for one in operation.args[:2]))


def multiplied(builder: Builder, left: Any, right: Any) -> Expression:
    """A product of tensors or numbers; linear unless both depend on the input."""
    if builder.is_variable(left) and builder.is_variable(right):
        return builder.product(builder.expression(left), builder.expression(right))
    variable, factor = (left, right) if builder.is_variable(left) else (right, left)
    return builder.arithmetic.scale(builder.expression(variable), torch.as_tensor(factor))


def _div(builder: Builder, operation: Operation) -> Expression:
    left, right = operation.args[:2]
    if builder.is_variable(right):
        raise UserError("the network divides by what depends on its input, for which there are no bounds")
    divisor = _operand(builder, operation, right).double()
    return builder.arithmetic.scale(builder.expression(left), divisor.reciprocal())


def _addcmul(builder: Builder, operation: Operation) -> Expression:
    start, left, right = operation.args[:3]
    product, value = multiplied(builder, left, right), float(operation.kwargs.get("value", 1))
    if value != 1:
        product = builder.arithmetic.scale(product, torch.tensor(value, dtype=operation.result.dtype))
    return builder.arithmetic.add(builder.expression(start), product)


def _matmul(builder: Builder, left: Any, right: Any) -> Expression:
    """Matrices [..., n, k] times [..., k, m]."""
    if not builder.is_variable(right):
        return builder.linear(builder.expression(left), lambda e: e @ right.double())
    if not builder.is_variable(left):
        return builder.linear(builder.expression(right), lambda e: left.double() @ e)
    x, y = builder.expression(left), builder.expression(right)
    rows, columns = x.indices[..., :, None, :], y.indices.transpose(-1, -2)[..., None, :, :]
    return builder.linear(builder.product(x.rows(rows), y.rows(columns)), lambda e: e.sum(-1))


def _mm(builder: Builder, operation: Operation) -> Expression:
    return _matmul(builder, *operation.args[:2])


def _vector(builder: Builder, operation: Operation) -> Expression:
    """A matrix, or a vector, times a vector."""
    left, right = operation.args[:2]
    if builder.is_variable(left) and builder.is_variable(right):
        product = builder.product(builder.expression(left), builder.expression(right))
        return builder.linear(product, lambda e: e.sum(-1))
    if builder.is_variable(left):
        return builder.linear(builder.expression(left), lambda e: e @ right.double())
    return builder.linear(builder.expression(right), lambda e: left.double() @ e)


def _addmm(builder: Builder, operation: Operation) -> Expression:
    start, left, right = operation.args[:3]
    if any(operation.kwargs.get(key, 1) != 1 for key in ("alpha", "beta")):
        raise UserError("the network uses addmm with factors, for which there are no bounds")
    return builder.arithmetic.add(_matmul(builder, left, right), builder.expression(start))


def _convolution(builder: Builder, operation: Operation) -> Expression:
    x, weight, bias, *rest = operation.args
    if builder.is_variable(weight):
        raise UserError("the network convolves with what depends on its input, for which there are no bounds")
    out = builder.linear(builder.expression(x), lambda e: torch.ops.aten.convolution(e, weight.double(), None, *rest))
    if bias is None:
        return out
    shape = (1, -1, *[1] * (len(out.shape) - 2))
    return builder.arithmetic.add(out, builder.expression(bias.reshape(shape)))


LINEAR: dict[str, Lowering] = {
    **dict.fromkeys(LAYOUT, _layout),
    **dict.fromkeys(SUMS, _linear),
    "add": _add,
    "sub": _sub,
    "rsub": _rsub,
    "neg": _neg,
    "mul": _mul,
    "div": _div,
    "addcmul": _addcmul,
    "mm": _mm,
    "bmm": _mm,
    "mv": _vector,
    "dot": _vector,
    "addmm": _addmm,
    "convolution": _convolution,
}

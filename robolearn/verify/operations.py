"""What each operation of torch becomes: layout, linear, a function of each number, or a composition of these."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from robolearn.errors import UserError
from robolearn.nets.tape import Operation
from robolearn.verify.builder import Builder
from robolearn.verify.expression import Expression, stacked
from robolearn.verify.relaxations.convex import Exponential, Reciprocal, ReciprocalRoot, Square
from robolearn.verify.relaxations.function import Function
from robolearn.verify.relaxations.piecewise import Absolute, Clip, LeakyRelu, Relu
from robolearn.verify.relaxations.smooth import Cosine, Gelu, Sigmoid, Silu, Sine, Tanh

Lowering = Callable[[Builder, Operation], Any]

LAYOUT = ("view", "_unsafe_view", "reshape", "expand", "clone", "alias", "detach", "unsqueeze", "squeeze", "transpose")
LAYOUT += ("permute", "t", "select", "slice", "split", "split_with_sizes", "unbind", "index_select", "index", "gather")
LAYOUT += ("cat", "stack", "repeat", "flip", "roll", "constant_pad_nd", "diagonal", "_reshape_alias")
LINEAR = ("sum", "mean", "avg_pool2d", "_adaptive_avg_pool2d", "avg_pool1d", "cumsum")
KEYWORDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(LAYOUT, ("memory_format", "implicit", "sparse_grad")),
    **dict.fromkeys(("sum", "mean", "cumsum"), ("dtype",)),
    **dict.fromkeys(("add", "sub", "rsub"), ("alpha",)),
    "addcmul": ("value",),
    "addmm": ("alpha", "beta"),
    "clamp": ("min", "max"),
    "gelu": ("approximate",),
}
"""Operation -> the options by name that its lowering looks at, or that change nothing."""


def check_keywords(operation: Operation) -> None:
    """Refuse options that a lowering would pass over.

    Raises:
        UserError: There is one.
    """
    given = {key for key, value in operation.kwargs.items() if value is not None}
    for key in sorted(given.difference(KEYWORDS.get(operation.name.split(".")[1], ()))):
        raise UserError(f"the network uses {operation.name} with {key}, for which there are no bounds")


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


def normalized(builder: Builder, x: Expression, eps: float) -> Expression:
    """(x - mean) / sqrt(variance + eps) over the last axis, whose n numbers are then at most sqrt(n - 1)."""
    if not eps > 0:
        raise UserError(f"the network normalizes with an epsilon of {eps}, for which there are no bounds")
    size = x.shape[-1]
    centered = builder.linear(x, lambda e: e - e.mean(-1, keepdim=True))
    squares = builder.elementwise(centered, Square())
    variance = builder.linear(squares, lambda e: e.mean(-1, keepdim=True))
    variance = builder.arithmetic.add(variance, builder.expression(torch.tensor(eps, dtype=torch.float64)))
    scale = builder.elementwise(variance, ReciprocalRoot(eps * (1 - 1e-5)))
    return builder.product(centered, scale, math.sqrt(size))


def _layer_norm(builder: Builder, operation: Operation) -> list[Expression]:
    x, shape, weight, bias, eps = operation.args
    if len(shape) != 1:
        raise UserError("the network normalizes over several axes, for which there are no bounds")
    out = normalized(builder, builder.expression(x), eps)
    if weight is not None:
        out = builder.arithmetic.scale(out, weight)
    return [out if bias is None else builder.arithmetic.add(out, builder.expression(bias))]


def _group_norm(builder: Builder, operation: Operation) -> list[Expression]:
    x, weight, bias, batch, channels, _, groups, eps = operation.args
    given = builder.expression(x)
    out = normalized(builder, given.rows(given.indices.reshape(batch, groups, -1)), eps)
    out = out.rows(out.indices.reshape(given.shape))
    shape = (1, channels, *[1] * (len(given.shape) - 2))
    if weight is not None:
        out = builder.arithmetic.scale(out, weight.reshape(shape))
    return [out if bias is None else builder.arithmetic.add(out, builder.expression(bias.reshape(shape)))]


def _softmax(builder: Builder, operation: Operation) -> Expression:
    """p_i = 1 / sum_j exp(x_j - x_i), in which x_i stands once and which is at most 1."""
    x, dim = builder.expression(operation.args[0]), operation.args[1]
    last = x.rows(x.indices.movedim(dim, -1))
    others, own = last.rows(last.indices[..., None, :]), last.rows(last.indices[..., :, None])
    total = builder.linear(
        builder.elementwise(builder.arithmetic.add(others, own, -1.0), Exponential()), lambda e: e.sum(-1)
    )
    out = builder.elementwise(total, Reciprocal(1 - 1e-6))
    return out.rows(out.indices.movedim(-1, dim))


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


def _batch_norm(builder: Builder, operation: Operation) -> list[Expression]:
    """In evaluation: a factor and a bias for each channel."""
    x, weight, bias, mean, variance, training, _, eps = operation.args
    if training or builder.is_variable(mean) or builder.is_variable(variance):
        raise UserError("the network normalizes over its batch, for which there are no bounds; set it to evaluation")
    shape = (1, -1, *[1] * (len(builder.expression(x).shape) - 2))
    factor = (variance.double() + eps).rsqrt() * (1.0 if weight is None else weight.double())
    shift = -mean.double() * factor + (0.0 if bias is None else bias.double())
    return [
        builder.arithmetic.add(multiplied(builder, x, factor.reshape(shape)), builder.expression(shift.reshape(shape)))
    ]


def _pair(value: Any) -> tuple[int, int]:
    numbers = [value] if isinstance(value, int) else list(value)
    return (numbers[0], numbers[-1])


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


def _pow(builder: Builder, operation: Operation) -> Expression:
    base, exponent = operation.args[:2]
    if isinstance(exponent, torch.Tensor) or exponent != 2:
        power = "of a tensor" if isinstance(exponent, torch.Tensor) else exponent
        raise UserError(f"the network takes the power {power}, for which there are no bounds; 2 has some")
    return builder.elementwise(builder.expression(base), Square())


def _clip(*arguments: Any, min: float | None = None, max: float | None = None) -> Clip:  # noqa: A002
    limits = [*arguments, min, max][:2] if not arguments else [*arguments, *[max] * (2 - len(arguments))]
    least, most = (
        edge if limit is None else float(limit) for limit, edge in zip(limits, (-math.inf, math.inf), strict=True)
    )
    if math.isnan(least) or math.isnan(most):
        raise UserError("the network limits a number by what is none, for which there are no bounds")
    return Clip(least if least <= most else most, most)  # a lower limit above the upper one gives the upper one


def _gelu(approximate: str = "none") -> Gelu:
    if approximate != "none":
        raise UserError(f"the network uses gelu approximated by {approximate}, for which there are no bounds")
    return Gelu()


FUNCTIONS: dict[str, Callable[..., Function]] = {
    "relu": Relu,
    "leaky_relu": lambda slope=0.01: LeakyRelu(float(slope)),
    "clamp": _clip,
    "clamp_min": lambda least: _clip(least, None),
    "hardtanh": lambda least=-1.0, most=1.0: _clip(least, most),
    "abs": Absolute,
    "tanh": Tanh,
    "sigmoid": Sigmoid,
    "silu": Silu,
    "gelu": _gelu,
    "sin": Sine,
    "cos": Cosine,
    "exp": Exponential,
    "square": Square,
}


def _function(name: str) -> Lowering:
    def lowering(builder: Builder, operation: Operation) -> Expression:
        x, *options = operation.args
        if any(isinstance(option, torch.Tensor) for option in (*options, *operation.kwargs.values())):
            raise UserError(
                f"the network uses {operation.name}, for which there are no bounds; with numbers it has some"
            )
        numbers = [_number(operation, option) for option in options]
        by_name = {key: _number(operation, option) for key, option in operation.kwargs.items()}
        return builder.elementwise(builder.expression(x), FUNCTIONS[name](*numbers, **by_name))

    return lowering


def _number(operation: Operation, option: Any) -> Any:
    """An option as the operation computes with it: a number in the dtype of its result."""
    return float(torch.tensor(option, dtype=operation.result.dtype)) if isinstance(option, int | float) else option


OPERATIONS: dict[str, Lowering] = {
    **dict.fromkeys(LAYOUT, _layout),
    **dict.fromkeys(LINEAR, _linear),
    **{name: _function(name) for name in FUNCTIONS},
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
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
    "_softmax": _softmax,
    "_safe_softmax": _softmax,
    "native_batch_norm": _batch_norm,
    "max_pool2d_with_indices": _max_pool,
    "amax": _amax,
    "max": _max,
    "maximum": _extreme(1.0),
    "minimum": _extreme(-1.0),
    "pow": _pow,
}
"""Operation of torch's aten -> how it is lowered."""

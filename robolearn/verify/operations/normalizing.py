"""Layers that normalize, and softmax: compositions of sums, products and a function of each number."""

from __future__ import annotations

import math

import torch

from robolearn.errors import UserError
from robolearn.nets.tape import Operation
from robolearn.verify.builder import Builder, Lowering
from robolearn.verify.expression import Expression
from robolearn.verify.operations.linear import multiplied
from robolearn.verify.relaxations.convex import Exponential, Reciprocal, ReciprocalRoot, Square


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


NORMALIZING: dict[str, Lowering] = {
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
    "native_batch_norm": _batch_norm,
    "_softmax": _softmax,
    "_safe_softmax": _softmax,
}

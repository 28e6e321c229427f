"""Functions of each number, and what their options are to them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from robolearn.errors import UserError
from robolearn.nets.tape import Operation
from robolearn.verify.builder import Builder, Lowering
from robolearn.verify.expression import Expression
from robolearn.verify.relaxations.convex import Exponential, Square
from robolearn.verify.relaxations.function import Function
from robolearn.verify.relaxations.piecewise import Absolute, Clip, LeakyRelu, Relu
from robolearn.verify.relaxations.smooth import Cosine, Gelu, Sigmoid, Silu, Sine, Tanh


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


ELEMENTWISE: dict[str, Lowering] = {**{name: _function(name) for name in FUNCTIONS}, "pow": _pow}

"""Operations of torch on numbers one by one, as nodes of ONNX.

A function takes the nodes so far, what torch made of the operation, and what torch was given; it returns the name of
its result. Numbers and tensors of several types are brought to one first, as torch does without being told.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from robolearn.deploy.nodes import Nodes, require

# Of the complementary error function, with a relative error below 1.2e-7 everywhere (Press et al. 1992, section 6.2):
# erfc(z) = t exp(-z^2 + sum_i ERFC[i] t^i) with t = 1 / (1 + z / 2).
ERFC = (-1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806)
ERFC += (0.27886807, -1.13520398, 1.48851587, -0.82215223, 0.17087277)


def _unary(kind: str, n: Nodes, out: Tensor, x: Tensor) -> str:
    return n.add(kind, n.name(x, out.dtype))


def _binary(kind: str, n: Nodes, out: Tensor, x: Any, y: Any) -> str:
    return n.add(kind, n.name(x, out.dtype), n.name(y, out.dtype))


def _truth(kind: str, n: Nodes, out: Tensor, *values: Any) -> str:
    """And, Or and Not, which ONNX has of truth values alone; torch has them of the bits of integers too."""
    require(out.dtype == torch.bool, f"{kind} of the bits of integers")
    return n.add(kind, *(n.name(value, out.dtype) for value in values))


def _scaled(n: Nodes, out: Tensor, x: Any, factor: Any) -> str:
    name = n.name(x, out.dtype)
    return name if factor == 1 else n.add("Mul", name, n.name(factor, out.dtype))


def _add(n: Nodes, out: Tensor, x: Any, y: Any, alpha: Any = 1) -> str:
    return n.add("Add", n.name(x, out.dtype), _scaled(n, out, y, alpha))


def _sub(n: Nodes, out: Tensor, x: Any, y: Any, alpha: Any = 1) -> str:
    return n.add("Sub", n.name(x, out.dtype), _scaled(n, out, y, alpha))


def _rsub(n: Nodes, out: Tensor, x: Any, y: Any, alpha: Any = 1) -> str:
    return _sub(n, out, y, x, alpha)


def _remainder(n: Nodes, out: Tensor, x: Any, y: Any) -> str:
    """With the sign of the divisor, as Mod has it for integers alone."""
    x, y = n.name(x, out.dtype), n.name(y, out.dtype)
    if not out.dtype.is_floating_point:
        return n.add("Mod", x, y)
    return n.add("Sub", x, n.add("Mul", n.add("Floor", n.add("Div", x, y)), y))


def _power(n: Nodes, out: Tensor, x: Any, y: Any) -> str:
    x = n.name(x, out.dtype)
    return n.add("Mul", x, x) if isinstance(y, int | float) and y == 2 else n.add("Pow", x, n.name(y, out.dtype))


def _compare(kind: str, n: Nodes, out: Tensor, x: Any, y: Any) -> str:
    dtype = torch.result_type(x, y)
    return n.add(kind, n.name(x, dtype), n.name(y, dtype))


def _differ(n: Nodes, out: Tensor, x: Any, y: Any) -> str:
    return n.add("Not", _compare("Equal", n, out, x, y))


def _silu(n: Nodes, out: Tensor, x: Tensor) -> str:
    name = n.name(x)
    return n.add("Mul", name, n.add("Sigmoid", name))


def _gelu(n: Nodes, out: Tensor, x: Tensor, approximate: str = "none") -> str:
    return n.add("Gelu", n.name(x), approximate=approximate)


def _leaky_relu(n: Nodes, out: Tensor, x: Tensor, slope: Any = 0.01) -> str:
    return n.add("LeakyRelu", n.name(x), alpha=float(slope))


def _expm1(n: Nodes, out: Tensor, x: Tensor) -> str:
    """In float64, of which the difference leaves float32 enough digits."""
    f64 = torch.float64
    return n.cast(n.add("Sub", n.add("Exp", n.name(x, f64)), n.name(1, f64)), out.dtype)


def _log1p(n: Nodes, out: Tensor, x: Tensor) -> str:
    f64 = torch.float64
    return n.cast(n.add("Log", n.add("Add", n.name(x, f64), n.name(1, f64))), out.dtype)


def _erfc(n: Nodes, z: str) -> str:
    """erfc(z) of a value z >= 0 in float64."""
    f64 = torch.float64
    t = n.add("Reciprocal", n.add("Add", n.add("Mul", z, n.name(0.5, f64)), n.name(1, f64)))
    powers = n.add("Pow", n.add("Unsqueeze", t, n.ints([-1])), n.name(list(range(len(ERFC))), f64))
    exponent = n.add("Sub", n.add("MatMul", powers, n.name(ERFC, f64)), n.add("Mul", z, z))
    return n.add("Mul", t, n.add("Exp", exponent))


def _erf(n: Nodes, out: Tensor, x: Tensor) -> str:
    """A node of onnxruntime in float32; it has none in float64."""
    name = n.name(x, out.dtype)
    if out.dtype != torch.float64:
        return n.add("Erf", name)
    size = n.add("Sub", n.name(1, torch.float64), _erfc(n, n.add("Abs", name)))
    return n.add("Mul", n.add("Sign", name), size)


def _normal_cdf(n: Nodes, x: Tensor) -> str:
    """Phi(x) in float64: in float32 nothing would be left of its distance to 1, which races between codes rest on."""
    f64 = torch.float64
    value = n.name(x, f64)
    z = n.add("Abs", n.add("Mul", value, n.name(math.sqrt(0.5), f64)))
    tail = n.add("Mul", n.name(0.5, f64), _erfc(n, z))  # P(X > |x|)
    return n.add("Where", n.add("Less", value, n.name(0, f64)), tail, n.add("Sub", n.name(1, f64), tail))


def _ndtr(n: Nodes, out: Tensor, x: Tensor) -> str:
    name = _normal_cdf(n, x)
    return name if out.dtype == torch.float64 else n.cast(name, out.dtype)


def _log_ndtr(n: Nodes, out: Tensor, x: Tensor) -> str:
    name = n.add("Log", _normal_cdf(n, x))
    return name if out.dtype == torch.float64 else n.cast(name, out.dtype)


def _clamp(n: Nodes, out: Tensor, x: Tensor, low: Any = None, high: Any = None) -> str:
    name = n.name(x, out.dtype)
    if low is not None:
        name = n.add("Max", name, n.name(low, out.dtype))
    return name if high is None else n.add("Min", name, n.name(high, out.dtype))


def _clamp_max(n: Nodes, out: Tensor, x: Tensor, high: Any) -> str:
    return _clamp(n, out, x, None, high)


def _where(n: Nodes, out: Tensor, condition: Tensor, x: Any, y: Any) -> str:
    return n.add("Where", n.name(condition), n.name(x, out.dtype), n.name(y, out.dtype))


def _masked_fill(n: Nodes, out: Tensor, x: Tensor, mask: Tensor, value: Any) -> str:
    return _where(n, out, mask, value, x)


def _lerp(n: Nodes, out: Tensor, x: Tensor, y: Tensor, weight: Any) -> str:
    start = n.name(x)
    return n.add("Add", start, n.add("Mul", n.add("Sub", n.name(y), start), n.name(weight, out.dtype)))


def _addcmul(n: Nodes, out: Tensor, x: Tensor, y: Tensor, z: Tensor, value: Any = 1) -> str:
    return n.add("Add", n.name(x), n.add("Mul", _scaled(n, out, y, value), n.name(z)))


def _to_copy(n: Nodes, out: Tensor, x: Tensor, **_: Any) -> str:
    return n.name(x, out.dtype)


def _same(n: Nodes, out: Tensor, x: Tensor, **_: Any) -> str:
    return n.name(x)


# fmt: off
KINDS = {  # torch -> ONNX, where both mean the same
    "abs": "Abs", "ceil": "Ceil", "cos": "Cos", "exp": "Exp", "floor": "Floor", "log": "Log",
    "neg": "Neg", "reciprocal": "Reciprocal", "relu": "Relu", "round": "Round", "sigmoid": "Sigmoid", "sign": "Sign",
    "sin": "Sin", "sqrt": "Sqrt", "tanh": "Tanh",
}
COMPARISONS = {"eq": "Equal", "ge": "GreaterOrEqual", "gt": "Greater", "le": "LessOrEqual", "lt": "Less"}
TRUTHS = {"bitwise_and": "And", "bitwise_or": "Or", "logical_and": "And", "logical_or": "Or"}
# fmt: on
ARITHMETIC: dict[str, Callable[..., str]] = {
    **{name: partial(_unary, kind) for name, kind in KINDS.items()},
    **{name: partial(_compare, kind) for name, kind in COMPARISONS.items()},
    **{name: partial(_truth, kind) for name, kind in TRUTHS.items()},
    "_to_copy": _to_copy,
    "add": _add,
    "addcmul": _addcmul,
    "alias": _same,
    "bitwise_not": partial(_truth, "Not"),
    "clamp": _clamp,
    "clamp_max": _clamp_max,
    "clamp_min": _clamp,
    "clone": _same,
    "contiguous": _same,
    "detach": _same,
    "div": partial(_binary, "Div"),
    "erf": _erf,
    "expm1": _expm1,
    "gelu": _gelu,
    "leaky_relu": _leaky_relu,
    "lerp": _lerp,
    "log1p": _log1p,
    "logical_not": partial(_truth, "Not"),
    "masked_fill": _masked_fill,
    "maximum": partial(_binary, "Max"),
    "minimum": partial(_binary, "Min"),
    "mul": partial(_binary, "Mul"),
    "ne": _differ,
    "pow": _power,
    "remainder": _remainder,
    "rsub": _rsub,
    "silu": _silu,
    "softplus": partial(_unary, "Softplus"),
    "special_log_ndtr": _log_ndtr,
    "special_ndtr": _ndtr,
    "square": lambda n, out, x: _power(n, out, x, 2),
    "sub": _sub,
    "where": _where,
}

"""Operations of torch on whole tensors, as nodes of ONNX: products, convolutions, norms, shapes, sums and choices.

For what a function takes and returns see `arithmetic.py`. A shape is a constant: every tensor has the one that it had
when the computation was noted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from robolearn.deploy.nodes import Nodes, require

LARGEST = 2**31 - 1  # an end beyond any axis


def _matmul(n: Nodes, out: Tensor, x: Tensor, y: Tensor) -> str:
    return n.add("MatMul", n.name(x), n.name(y))


def _addmm(n: Nodes, out: Tensor, bias: Tensor, x: Tensor, y: Tensor, beta: Any = 1, alpha: Any = 1) -> str:
    return n.add("Gemm", n.name(x), n.name(y), n.name(bias), alpha=float(alpha), beta=float(beta))


def _baddbmm(n: Nodes, out: Tensor, bias: Tensor, x: Tensor, y: Tensor, beta: Any = 1, alpha: Any = 1) -> str:
    product, offset = n.add("MatMul", n.name(x), n.name(y)), n.name(bias)
    product = product if alpha == 1 else n.add("Mul", product, n.name(alpha, out.dtype))
    return n.add("Add", offset if beta == 1 else n.add("Mul", offset, n.name(beta, out.dtype)), product)


def _convolution(
    n: Nodes,
    out: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    is_transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> str:
    options: dict[str, Any] = {"strides": stride, "pads": [*padding, *padding], "dilations": dilation, "group": groups}
    if is_transposed:
        options["output_padding"] = output_padding
    inputs = [n.name(value) for value in (x, weight, bias) if value is not None]
    return n.add("ConvTranspose" if is_transposed else "Conv", *inputs, **options)


def _max_pool(
    n: Nodes,
    out: Sequence[Tensor],
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    ceil_mode: bool = False,
) -> list[str]:
    """Its second result, where each maximum was, is for gradients alone."""
    sizes = {"kernel_shape": list(kernel), "strides": list(stride or kernel), "dilations": list(dilation)}
    return [n.add("MaxPool", n.name(x), pads=[*padding, *padding], ceil_mode=int(ceil_mode), **sizes)]


def _layer_norm(
    n: Nodes,
    out: Sequence[Tensor],
    x: Tensor,
    shape: Sequence[int],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> list[str]:
    """Its further results, means and deviations, are for gradients alone."""
    scale = n.name(torch.ones(list(shape), dtype=x.dtype) if weight is None else weight)
    shift = [] if bias is None else [n.name(bias)]
    return [n.add("LayerNormalization", n.name(x), scale, *shift, axis=-len(shape), epsilon=float(eps))]


def _group_norm(
    n: Nodes,
    out: Sequence[Tensor],
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    rows: int,
    channels: int,
    size: int,
    groups: int,
    eps: float,
) -> list[str]:
    """Each group of channels as one row of a layer normalization, then the channels' scale and shift."""
    per_channel = [1, channels] + [1] * (x.dim() - 2)
    grouped = n.add("Reshape", n.name(x), n.ints([rows, groups, -1]))
    ones = torch.ones(channels // groups * size, dtype=x.dtype)
    name = n.add("LayerNormalization", grouped, n.name(ones), axis=-1, epsilon=float(eps))
    name = n.add("Reshape", name, n.ints(x.shape))
    for kind, value in (("Mul", weight), ("Add", bias)):
        if value is not None:
            name = n.add(kind, name, n.name(value.reshape(per_channel)))
    return [name]


def _softmax(kind: str, n: Nodes, out: Tensor, x: Tensor, dim: int, *_: Any) -> str:
    return n.add(kind, n.name(x, out.dtype), axis=dim)


def _reshape(n: Nodes, out: Tensor, x: Tensor, *_: Any, **__: Any) -> str:
    """Views of all kinds: the shape that came out is all that there is to know."""
    return n.name(x) if out.shape == x.shape else n.add("Reshape", n.name(x), n.ints(out.shape))


def _expand(n: Nodes, out: Tensor, x: Tensor, *_: Any, **__: Any) -> str:
    return n.name(x) if out.shape == x.shape else n.add("Expand", n.name(x), n.ints(out.shape))


def _repeat(n: Nodes, out: Tensor, x: Tensor, times: Sequence[int]) -> str:
    name = n.name(x)
    if len(times) > x.dim():
        name = n.add("Reshape", name, n.ints([1] * (len(times) - x.dim()) + list(x.shape)))
    return n.add("Tile", name, n.ints(times))


def _permute(n: Nodes, out: Tensor, x: Tensor, dims: Sequence[int]) -> str:
    return n.add("Transpose", n.name(x), perm=[dim % x.dim() for dim in dims])


def _transpose(n: Nodes, out: Tensor, x: Tensor, one: int = 0, other: int = 1) -> str:
    dims = list(range(x.dim()))
    if x.dim() < 2:
        return n.name(x)
    dims[one], dims[other] = dims[other], dims[one]
    return n.add("Transpose", n.name(x), perm=dims)


def _select(n: Nodes, out: Tensor, x: Tensor, dim: int, index: int) -> str:
    return n.add("Gather", n.name(x), n.constant(index, "int64"), axis=dim)


def _slice(
    n: Nodes, out: Tensor, x: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> str:
    if out.shape == x.shape and step == 1:
        return n.name(x)
    limits = (n.ints([value]) for value in (start or 0, LARGEST if end is None else min(end, LARGEST), dim, step))
    return n.add("Slice", n.name(x), *limits)


def _flip(n: Nodes, out: Tensor, x: Tensor, dims: Sequence[int]) -> str:
    back = [-1] * len(dims)
    return n.add("Slice", n.name(x), n.ints(back), n.ints([-LARGEST] * len(dims)), n.ints(dims), n.ints(back))


def _split(n: Nodes, out: Sequence[Tensor], x: Tensor, sizes: Any, dim: int = 0) -> list[str]:
    if len(out) == 1:
        return [n.name(x)]
    return n.add_many("Split", len(out), n.name(x), n.ints([part.shape[dim] for part in out]), axis=dim)


def _unbind(n: Nodes, out: Sequence[Tensor], x: Tensor, dim: int = 0) -> list[str]:
    parts = n.add_many("Split", len(out), n.name(x), n.ints([1] * len(out)), axis=dim)
    return [n.add("Reshape", part, n.ints(out[0].shape)) for part in parts]


def _cat(n: Nodes, out: Tensor, parts: Sequence[Tensor], dim: int = 0) -> str:
    names = [n.name(part, out.dtype) for part in parts if part.numel()]
    return names[0] if len(names) == 1 else n.add("Concat", *names, axis=dim)


def _stack(n: Nodes, out: Tensor, parts: Sequence[Tensor], dim: int = 0) -> str:
    axis, shape = dim % out.dim(), list(out.shape)
    shape[axis] = 1
    return n.add("Concat", *(n.add("Reshape", n.name(part, out.dtype), n.ints(shape)) for part in parts), axis=axis)


def _pad(n: Nodes, out: Tensor, x: Tensor, widths: Sequence[int], value: Any = 0) -> str:
    """Torch counts from the last axis, before and behind in turn; ONNX first all before, then all behind."""
    if not any(widths):
        return n.name(x)
    before, behind = [0] * x.dim(), [0] * x.dim()
    for i in range(len(widths) // 2):
        before[-1 - i], behind[-1 - i] = widths[2 * i], widths[2 * i + 1]
    return n.add("Pad", n.name(x), n.ints([*before, *behind]), n.name(value, out.dtype))


def _index(n: Nodes, out: Tensor, x: Tensor, indices: Sequence[Tensor | None]) -> str:
    """Index arrays of the first axes."""
    given = [one for one in indices if one is not None]
    require(all(one is not None for one in indices[: len(given)]), "indices of other axes than the first ones")
    require(all(one.dtype in (torch.int32, torch.int64) for one in given), "a mask as an index")
    if len(given) == 1:
        return n.add("Gather", n.name(x), n.name(given[0], torch.int64), axis=0)
    shape = torch.broadcast_shapes(*(one.shape for one in given))
    spread = [n.add("Expand", n.name(one, torch.int64), n.ints([*shape])) for one in given]
    columns = [n.add("Unsqueeze", name, n.ints([-1])) for name in spread]
    return n.add("GatherND", n.name(x), n.add("Concat", *columns, axis=-1))


def _index_select(n: Nodes, out: Tensor, x: Tensor, dim: int, index: Tensor) -> str:
    return n.add("Gather", n.name(x), n.name(index), axis=dim)


def _gather(n: Nodes, out: Tensor, x: Tensor, dim: int, index: Tensor, **_: Any) -> str:
    return n.add("GatherElements", n.name(x), n.name(index), axis=dim)


def _embedding(n: Nodes, out: Tensor, weight: Tensor, index: Tensor, *_: Any) -> str:
    return n.add("Gather", n.name(weight), n.name(index), axis=0)


def _reduce(kind: str, n: Nodes, out: Tensor, x: Tensor, dims: Any = None, keep: bool = False, **_: Any) -> str:
    """Over the axes that are given, or over all."""
    axes = list(range(x.dim())) if dims is None or dims == [] else [dims] if isinstance(dims, int) else list(dims)
    return n.add(kind, n.name(x, out.dtype), n.ints(axes), keepdims=int(keep))


def _vector_norm(
    n: Nodes, out: Tensor, x: Tensor, order: Any = 2, dims: Any = None, keep: bool = False, **options: Any
) -> str:
    require(order == 2, f"a norm of order {order}")
    return _reduce("ReduceL2", n, out, x, dims, keep, **options)


def _arg(kind: str, n: Nodes, out: Tensor, x: Tensor, dim: int | None = None, keep: bool = False) -> str:
    if dim is not None:
        return n.add(kind, n.name(x), axis=dim, keepdims=int(keep))
    flat = n.add("Reshape", n.name(x), n.ints([-1]))
    return n.add("Reshape", n.add(kind, flat, axis=0, keepdims=0), n.ints(out.shape))


def _cumsum(n: Nodes, out: Tensor, x: Tensor, dim: int, **_: Any) -> str:
    return n.add("CumSum", n.name(x, out.dtype), n.constant(dim, "int64"))


def _searchsorted(n: Nodes, out: Tensor, ordered: Tensor, values: Tensor, **options: Any) -> str:
    """How many numbers of a row are less than each value, which is where it would be put."""
    require(not any(options.values()), f"searchsorted with {', '.join(name for name in options if options[name])}")
    row = n.add("Unsqueeze", n.name(ordered), n.ints([-2]))
    is_less = n.add("Less", row, n.add("Unsqueeze", n.name(values, ordered.dtype), n.ints([-1])))
    return n.add("ReduceSum", n.cast(is_less, torch.int64), n.ints([-1]), keepdims=0)


VIEWS = ("view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "flatten", "unflatten", "_reshape_alias")
SUMS = {
    "sum": "ReduceSum",
    "mean": "ReduceMean",
    "amax": "ReduceMax",
    "amin": "ReduceMin",
    "logsumexp": "ReduceLogSumExp",
}
LAYERS: dict[str, Callable[..., str | list[str]]] = {
    **dict.fromkeys(VIEWS, _reshape),
    **{name: partial(_reduce, kind) for name, kind in SUMS.items()},
    "_safe_softmax": partial(_softmax, "Softmax"),  # of attention, in which every token sees one at least
    "_log_softmax": partial(_softmax, "LogSoftmax"),
    "_softmax": partial(_softmax, "Softmax"),
    "addmm": _addmm,
    "argmax": partial(_arg, "ArgMax"),
    "argmin": partial(_arg, "ArgMin"),
    "baddbmm": _baddbmm,
    "bmm": _matmul,
    "cat": _cat,
    "constant_pad_nd": _pad,
    "convolution": _convolution,
    "cumsum": _cumsum,
    "embedding": _embedding,
    "expand": _expand,
    "flip": _flip,
    "gather": _gather,
    "index": _index,
    "index_select": _index_select,
    "linalg_vector_norm": _vector_norm,
    "matmul": _matmul,
    "max_pool2d_with_indices": _max_pool,
    "mm": _matmul,
    "native_group_norm": _group_norm,
    "native_layer_norm": _layer_norm,
    "permute": _permute,
    "repeat": _repeat,
    "searchsorted": _searchsorted,
    "select": _select,
    "slice": _slice,
    "split": _split,
    "split_with_sizes": _split,
    "stack": _stack,
    "t": _transpose,
    "transpose": _transpose,
    "unbind": _unbind,
}

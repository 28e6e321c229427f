"""A function of torch as one graph of ONNX, with the shapes of the inputs that it is given."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import onnx
from torch import Tensor

from robolearn.deploy.arithmetic import ARITHMETIC
from robolearn.deploy.batching import batch_products
from robolearn.deploy.layers import LAYERS
from robolearn.deploy.nodes import Nodes
from robolearn.errors import UserError
from robolearn.nets.tape import Operation, record, tensors
from robolearn.nets.transformer import plain_attention

OPERATORS = ARITHMETIC | LAYERS
RESULT = "chunks"


def to_graph(function: Callable[..., Tensor], inputs: dict[str, Tensor]) -> onnx.ModelProto:
    """Turn a function of named tensors into a graph.

    Args:
        function: Of torch, without randomness of its own.
        inputs: By name; the graph takes inputs of these shapes and types.

    Raises:
        UserError: The function cannot be a graph; says which operation stands in the way.
    """
    with plain_attention():  # fused, it would be one operation of torch's own
        tape, result = record(function, inputs)
    if not tape.reaches(result):
        raise UserError("its chunks depend neither on observations nor on noise")
    nodes = Nodes()
    for name, value in inputs.items():
        nodes.bind(value, name)
    for operation in tape.operations:
        _lower(nodes, operation)
    batch_products(nodes, nodes.name(result))
    return nodes.model(inputs, RESULT, result)


def _lower(nodes: Nodes, operation: Operation) -> None:
    """Add one operation's nodes, and say what its results are called."""
    short = operation.name.split(".")[1]
    if short not in OPERATORS:
        raise UserError(f"it uses {operation.name}, for which there is no node")
    lower, given = OPERATORS[short], (nodes, operation.result, *operation.args)
    try:
        inspect.signature(lower).bind(*given, **operation.kwargs)
    except TypeError:  # such as a division that rounds
        raise UserError(f"it uses {operation.name} with options for which there is no node") from None
    lowered: Any = lower(*given, **operation.kwargs)
    names = [lowered] if isinstance(lowered, str) else lowered
    for tensor, name in zip(tensors(operation.result), names, strict=False):
        nodes.bind(tensor, name)

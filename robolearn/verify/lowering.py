"""A function of torch as a graph for verification: what it did to an example, operation by operation.

Linear operations are no nodes: what is computed so far is an expression, and only where something nonlinear reads it
an expression becomes a node. Constants are those of the network, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from robolearn.errors import UserError
from robolearn.nets.tape import Operation, record, tensors
from robolearn.nets.transformer import plain_attention
from robolearn.verify.builder import Builder
from robolearn.verify.expression import Expression
from robolearn.verify.graph import Graph, Input
from robolearn.verify.operations.table import OPERATIONS, check_keywords
from robolearn.verify.rounding import SINGLE, Precision
from robolearn.verify.shared_factor import factors_last


def lower(function: Callable[[Tensor], Tensor], example: Tensor, precision: Precision = "float32") -> Graph:
    """Turn a function of one tensor into a graph of its entries.

        graph = lower(torch.nn.Linear(3, 2).requires_grad_(False), torch.zeros(1, 3))
        assert (graph.input_size, graph.output_size) == (3, 2)

    Args:
        function: Of torch, without randomness of its own, that treats every tensor of this shape alike.
        example: One input, of any shape; bounds are about its entries in order.
        precision: exact, the function in real numbers; float32, as it is evaluated, in any order of its sums.

    Raises:
        UserError: It does something that has no bounds here; says what.
    """
    try:
        with plain_attention():  # fused, it would be one operation of torch's own
            tape, result = record(lambda x: function(x), {"x": example})
    except UserError as error:
        raise UserError(f"the network has no bounds: {error}") from error
    if not tape.reaches(result):
        raise UserError("the network's output does not depend on its input")
    builder = Builder(SINGLE if precision == "float32" else 0.0)
    builder.bind(example, builder.add(Input(example.numel(), ()), example.shape))
    for operation in tape.operations:
        _lower(builder, operation)
    return factors_last(builder.graph(builder.expression(result)))


def _lower(builder: Builder, operation: Operation) -> None:
    """Bind the results of one operation."""
    short, results = operation.name.split(".")[1], list(tensors(operation.result))
    makers = [maker for value in tensors((operation.args, operation.kwargs)) if (maker := builder.maker(value))]
    if short not in OPERATIONS and not makers:
        raise UserError(f"the network uses {operation.name}, for which there are no bounds")
    if not makers:
        check_keywords(operation)
    made = [] if makers else OPERATIONS[short](builder, operation)
    known: list[Expression] = [made] if isinstance(made, Expression) else list(made)
    for tensor, one in zip(results, known, strict=False):
        builder.bind(tensor, one)
    for tensor in results[len(known) :]:
        builder.leave(tensor, makers[0] if makers else operation.name)

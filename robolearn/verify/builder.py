"""Nodes in the making, and what torch's tensors are in terms of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from robolearn.errors import UserError
from robolearn.nets.tape import Operation
from robolearn.verify.expression import Arithmetic, Expression, constant, identity, stacked
from robolearn.verify.graph import Affine, Elementwise, Graph, Maximum, Node, Product
from robolearn.verify.relaxations.function import Function

Lowering = Callable[["Builder", Operation], Any]
"""Of an operation: the expressions of its results."""
MOST = 8192  # numbers of a node; its matrices are dense


class Builder:
    """Nodes in the making, and the expressions of torch's tensors.

    Args:
        unit: Unit roundoff of the network's arithmetic; 0 for real numbers.
    """

    def __init__(self, unit: float) -> None:
        self.unit, self.arithmetic = unit, Arithmetic(unit)
        self.nodes: list[Node] = []
        self._expressions: dict[int, tuple[Tensor, Expression]] = {}  # with the tensor, so that no other gets its id
        self._unknown: dict[int, tuple[Tensor, str]] = {}  # tensors without bounds, and what made them
        self._nodes: dict[tuple[int, ...], tuple[Expression, int]] = {}

    def bind(self, tensor: Tensor, expression: Expression) -> None:
        """Say what a tensor of torch is; where its shape was changed in place later, it has that one by now."""
        assert tensor.numel() == len(expression.bias), "the expression has the tensor's numbers"
        self._expressions[id(tensor)] = tensor, expression

    def leave(self, tensor: Tensor, name: str) -> None:
        """Say that a tensor has no bounds, such as where a maximum is; only what uses it is refused."""
        self._unknown[id(tensor)] = tensor, name

    def maker(self, value: object) -> str | None:
        """What made a tensor without bounds; None for all others."""
        return self._unknown[id(value)][1] if id(value) in self._unknown else None

    def is_variable(self, value: object) -> bool:
        """Whether it depends on the input."""
        return id(value) in self._expressions

    def expression(self, value: Tensor | float) -> Expression:
        """The expression of a tensor, or of a number.

        Raises:
            UserError: It has no bounds.
        """
        if self.maker(value):
            raise UserError(f"the network uses what has no bounds of what {self.maker(value)} returns")
        return self._expressions[id(value)][1] if self.is_variable(value) else constant(value)

    def add(self, node: Node, shape: Any) -> Expression:
        """Add a node; returns its values as a tensor of this shape."""
        if node.size > MOST:
            raise UserError(f"a layer of the network has {node.size} numbers; there are bounds for at most {MOST}")
        self.nodes.append(node)
        return identity(len(self.nodes) - 1, tuple(shape))

    def node(self, expression: Expression) -> int:
        """The node whose values are those of an expression."""
        tensors_of = (expression.bias, *expression.weights.values())
        key = (*expression.weights, *map(id, tensors_of))  # layouts that move nothing share their tensors
        if key not in self._nodes:
            same = expression.is_node()
            self._nodes[key] = expression, self._affine(expression) if same is None else same
        return self._nodes[key][1]

    def linear(self, x: Expression, operation: Callable[[Tensor], Tensor]) -> Expression:
        """A linear operation without a bias on a tensor.

        What is a sum itself becomes a node first: its bounds tell how large it is, while matrices multiplied only tell
        how large it could be, and rounding would be taken for a thousand times what it is.
        """
        if any(int((weight != 0).sum(1).max()) > 1 for weight in x.weights.values()) or len(x.weights) > 1:
            x = identity(self.node(x), x.shape)
        return self.arithmetic.apply(x, operation)

    def _affine(self, x: Expression) -> int:
        nodes = tuple(x.weights)
        weights, errors = (tuple(one[node] for node in nodes) for one in (x.weights, x.errors))
        self.nodes.append(Affine(len(x.bias), nodes, weights, x.bias, errors, x.bias_error))
        return len(self.nodes) - 1

    def elementwise(self, x: Expression, function: Function) -> Expression:
        """A function of each number."""
        return self.add(Elementwise(len(x.bias), (self.node(x),), function, self.unit), x.shape)

    def product(self, left: Expression, right: Expression, most: float = float("inf")) -> Expression:
        """Of two tensors of any shapes that torch can join."""
        shape = torch.broadcast_shapes(left.shape, right.shape)
        pair = tuple(self.node(one.rows(one.indices.expand(shape))) for one in (left, right))
        return self.add(Product(int(shape.numel()), pair, self.unit, most), shape)

    def maximum(self, x: Expression, groups: Tensor) -> Expression:
        """The greatest of each group of entries [..., g]."""
        flat = groups.reshape(-1, groups.shape[-1])
        return self.add(Maximum(len(flat), (self.node(x),), flat, len(x.bias)), groups.shape[:-1])

    def layout(self, operation: Operation) -> Any:
        """What only moves entries, by doing it to their indices; index 0 is a zero that pads."""
        parts, counts = [constant(torch.zeros(1))], 1

        def indexed(value: Any) -> Any:
            nonlocal counts
            if isinstance(value, list | tuple):
                return [indexed(one) for one in value]
            if not (isinstance(value, Tensor) and (self.is_variable(value) or value.is_floating_point())):
                return value
            parts.append(self.expression(value))
            counts += value.numel()
            return counts - value.numel() + parts[-1].indices

        _, name, overload = operation.name.split(".")
        kwargs = {key: value for key, value in operation.kwargs.items() if key not in ("dtype", "memory_format")}
        moved = getattr(getattr(torch.ops.aten, name), overload)(*indexed(operation.args), **kwargs)
        whole = stacked(parts)
        return whole.rows(moved) if isinstance(moved, Tensor) else [whole.rows(one) for one in moved]

    def graph(self, output: Expression) -> Graph:
        """All that was added, up to this output."""
        last = self.node(output)
        if last != len(self.nodes) - 1:
            last = self._affine(identity(last, (self.nodes[last].size,)))
        return Graph(tuple(self.nodes[: last + 1]))

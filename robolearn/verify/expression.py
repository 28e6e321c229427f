"""What a network has computed linearly so far: matrices times nodes, and a bias, with the shape that torch gave it.

Beside its matrices an expression carries a bound on how far the network's own arithmetic is from it: for every number
sum_i E_i |x_i| + e, with x_i the values of the nodes. Layout, such as a transposition, moves rows and rounds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robolearn.verify.rounding import DOUBLE, gamma


@dataclass(frozen=True, eq=False)
class Expression:
    """A tensor of n numbers as sum_i W_i x_i + b.

    Attributes:
        shape: Of the tensor in torch.
        weights: Node -> W_i [n, n_i].
        bias: b [n].
        errors: Node -> E_i [n, n_i], not negative.
        bias_error: e [n], not negative.
    """

    shape: tuple[int, ...]
    weights: dict[int, Tensor]
    bias: Tensor
    errors: dict[int, Tensor]
    bias_error: Tensor

    @property
    def indices(self) -> Tensor:
        """The number of each entry's row, in the tensor's shape."""
        return torch.arange(len(self.bias)).view(self.shape)

    def rows(self, index: Tensor) -> Expression:
        """The tensor whose entries are these rows of this one."""
        flat = index.reshape(-1)
        if torch.equal(flat, torch.arange(len(self.bias))):
            return replace(self, shape=tuple(index.shape))
        weights = {node: weight[flat] for node, weight in self.weights.items()}
        errors = {node: error[flat] for node, error in self.errors.items()}
        return Expression(tuple(index.shape), weights, self.bias[flat], errors, self.bias_error[flat])

    def is_node(self) -> int | None:
        """The node that this is, number by number, if it is one."""
        if len(self.weights) != 1 or self.bias.any() or self.bias_error.any():
            return None
        ((node, weight),) = self.weights.items()
        same = weight.shape[0] == weight.shape[1] and torch.equal(weight, torch.eye(len(weight), dtype=weight.dtype))
        return node if same and not self.errors[node].any() else None


def constant(value: Tensor | float, shape: Sequence[int] | None = None) -> Expression:
    """A tensor that no input reaches, or a number, as large as a shape if one is given."""
    tensor = torch.as_tensor(value, dtype=torch.float64)
    tensor = tensor if shape is None else tensor.expand(*shape)
    flat = tensor.reshape(-1).clone()
    return Expression(tuple(tensor.shape), {}, flat, {}, torch.zeros_like(flat))


def identity(node: int, shape: Sequence[int]) -> Expression:
    """The values of a node, as a tensor of this shape."""
    size = int(torch.Size(shape).numel())
    weight = torch.eye(size, dtype=torch.float64)
    zeros = torch.zeros(size, dtype=torch.float64)
    return Expression(tuple(shape), {node: weight}, zeros, {node: torch.zeros_like(weight)}, zeros)


def stacked(parts: Sequence[Expression]) -> Expression:
    """All entries of several tensors as one vector, one behind the other."""
    nodes = list(dict.fromkeys(node for part in parts for node in part.weights))

    def column(kind: str, node: int) -> Tensor:
        width = next(getattr(part, kind)[node].shape[1] for part in parts if node in part.weights)
        empty = [torch.zeros(len(part.bias), width, dtype=torch.float64) for part in parts]
        return torch.cat([getattr(part, kind).get(node, zero) for part, zero in zip(parts, empty, strict=True)])

    bias = torch.cat([part.bias for part in parts])
    bias_error = torch.cat([part.bias_error for part in parts])
    weights, errors = ({node: column(kind, node) for node in nodes} for kind in ("weights", "errors"))
    return Expression((len(bias),), weights, bias, errors, bias_error)


@dataclass(frozen=True)
class Arithmetic:
    """Linear operations on expressions, and what they round.

    Attributes:
        unit: Unit roundoff of the network's arithmetic; 0 for real numbers. What is computed here in float64 is added.
    """

    unit: float

    def add(self, left: Expression, right: Expression, factor: float = 1.0) -> Expression:
        """Left + factor right, of any shapes that torch can join."""
        shape = torch.broadcast_shapes(left.shape, right.shape)
        left, right = (one.rows(one.indices.expand(shape)) for one in (left, right))
        nodes = list(dict.fromkeys([*left.weights, *right.weights]))
        pairs = {node: (left.weights.get(node), right.weights.get(node)) for node in nodes}
        weights = {node: _sum(a, b, factor) for node, (a, b) in pairs.items()}
        errors = {node: _sum(left.errors.get(node), right.errors.get(node), abs(factor)) for node in nodes}
        bias_error = left.bias_error + abs(factor) * right.bias_error
        whole = Expression(shape, weights, left.bias + factor * right.bias, errors, bias_error)
        return self._rounded(whole, weights, whole.bias, 2)

    def scale(self, x: Expression, factor: Tensor) -> Expression:
        """X times constant numbers, of any shapes that torch can join."""
        shape = torch.broadcast_shapes(x.shape, factor.shape)
        x, flat = x.rows(x.indices.expand(shape)), factor.double().expand(shape).reshape(-1)
        weights = {node: weight * flat[:, None] for node, weight in x.weights.items()}
        errors = {node: error * flat.abs()[:, None] for node, error in x.errors.items()}
        whole = Expression(tuple(shape), weights, x.bias * flat, errors, x.bias_error * flat.abs())
        return self._rounded(whole, weights, whole.bias, 2)

    def apply(self, x: Expression, operation: Callable[[Tensor], Tensor]) -> Expression:
        """A linear operation of torch, without a bias: its matrix is what it makes of the unit vectors."""
        size = len(x.bias)
        columns = torch.func.vmap(operation)(torch.eye(size, dtype=torch.float64).view(size, *x.shape))
        shape = tuple(columns.shape[1:])
        matrix = columns.reshape(size, -1).T.contiguous()
        magnitude, count = matrix.abs(), int((matrix != 0).sum(1).max()) if matrix.numel() else 0
        weights = {node: matrix @ weight for node, weight in x.weights.items()}
        errors = {node: magnitude @ error for node, error in x.errors.items()}
        whole = Expression(shape, weights, matrix @ x.bias, errors, magnitude @ x.bias_error)
        sums = {node: magnitude @ weight.abs() for node, weight in x.weights.items()}
        return self._rounded(whole, sums, magnitude @ x.bias.abs(), count + 1)

    def _rounded(self, x: Expression, sums: dict[int, Tensor], bias: Tensor, count: int) -> Expression:
        """An expression whose last step summed so many products, of which these are the sums of the magnitudes."""
        share, grown = gamma(count, self.unit + 4 * DOUBLE), 1 + gamma(count, self.unit + 4 * DOUBLE)
        errors = {node: grown * error + share * sums[node].abs() for node, error in x.errors.items()}
        return replace(x, errors=errors, bias_error=grown * x.bias_error + share * bias.abs())


def _sum(left: Tensor | None, right: Tensor | None, factor: float) -> Tensor:
    if right is None:
        assert left is not None, "a node is in one of both"
        return left
    return factor * right if left is None else left + factor * right

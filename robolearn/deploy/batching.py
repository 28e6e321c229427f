"""Products with the same weights taken together: a sampler asks its network again and again, with other times.

Weights are most of what a plan reads from memory, and what they are multiplied with often depends on the time and the
observations alone, such as the scales of FiLM: it is there before the first step. The rows of all steps then become one
matrix, which is multiplied once.

    step 1   silu(c + t1) W                 silu(c + [t1; t2; ...]) W
    step 2   silu(c + t2) W     becomes
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx

from robolearn.deploy.nodes import ROW_BY_ROW, Nodes

Makers = dict[str, onnx.NodeProto]  # name of a value -> the node that makes it


def batch_products(nodes: Nodes, result: str) -> None:
    """Replace products by fewer, and drop what nothing needs any more.

    Args:
        nodes: Are changed.
        result: Name of what is wanted.
    """
    for weights in dict.fromkeys(tuple(node.input[1:]) for node in nodes.nodes if _is_plain_product(node)):
        if all(name in nodes.constants for name in weights):
            together = _independent(nodes, weights)
            if len(together) > 1:
                _replace(nodes, together)
    _drop_unused(nodes, result)


def _independent(nodes: Nodes, weights: tuple[str, ...]) -> list[onnx.NodeProto]:
    """Products with these weights, of one number of rows, that need the result of none of them."""
    after: set[str] = set()
    batch: list[onnx.NodeProto] = []
    for node in nodes.nodes:
        is_after = any(name in after for name in node.input)
        is_one = _is_plain_product(node) and tuple(node.input[1:]) == weights
        if is_one and not is_after and (not batch or nodes.shapes[node.input[0]] == nodes.shapes[batch[0].input[0]]):
            batch.append(node)
        if is_one or is_after:
            after.update(node.output)
    return batch


def _replace(nodes: Nodes, together: Sequence[onnx.NodeProto]) -> None:
    """Put one product in the place of several; its rows get their names."""
    gone = {id(node) for node in together}
    nodes.nodes = [node for node in nodes.nodes if id(node) not in gone]
    rows = nodes.shapes[together[0].input[0]][0]
    makers = {name: node for node in nodes.nodes for name in node.output}
    joined = _join(nodes, makers, [node.input[0] for node in together], rows)
    product = nodes.add("Gemm", joined, *together[0].input[1:], alpha=1.0, beta=1.0)
    parts = nodes.add_many("Split", len(together), product, nodes.ints([rows] * len(together)), axis=0)
    split = nodes.nodes[-1]
    assert list(split.output) == parts, "a product that was there already"
    del split.output[:]
    split.output.extend(node.output[0] for node in together)
    nodes.nodes = list(_in_order(nodes))


def _is_plain_product(node: onnx.NodeProto) -> bool:
    return node.op_type == "Gemm" and all(attribute.f == 1 for attribute in node.attribute)


def _join(nodes: Nodes, makers: Makers, names: Sequence[str], rows: int) -> str:
    """The value whose rows are those of several; made from joined inputs where all were made alike."""
    if len(set(names)) == 1 and rows == 1:
        return names[0]  # one row serves for all
    if all(name in nodes.constants for name in names):
        return nodes.constant(np.concatenate([nodes.constants[name] for name in names]))
    made = [makers[name] for name in names if name in makers]
    if rows == 1 and len(made) == len(names) and all(_are_alike(nodes, made[0], other) for other in made):
        columns = zip(*(node.input for node in made), strict=True)
        return nodes.add(made[0].op_type, *(_join(nodes, makers, column, 1) for column in columns))
    return nodes.add("Concat", *names, axis=0)


def _are_alike(nodes: Nodes, one: onnx.NodeProto, other: onnx.NodeProto) -> bool:
    """Whether two nodes do the same row by row, to single rows of one width."""
    if one.op_type != other.op_type or one.op_type not in ROW_BY_ROW:
        return False
    shapes = [nodes.shapes.get(name) for node in (one, other) for name in node.input]
    return all(shape == shapes[0] and shape is not None and len(shape) == 2 for shape in shapes)


def _in_order(nodes: Nodes) -> Iterator[onnx.NodeProto]:
    """The nodes, each behind those that it needs."""
    makers, done = {name: node for node in nodes.nodes for name in node.output}, set()
    for last in nodes.nodes:
        stack = [last]
        while stack:
            node = stack[-1]
            missing = [makers[name] for name in node.input if name in makers and id(makers[name]) not in done]
            if missing:
                stack += missing
                continue
            stack.pop()
            if id(node) not in done:
                done.add(id(node))
                yield node


def _drop_unused(nodes: Nodes, result: str) -> None:
    needed, kept = {result}, []
    for node in reversed(nodes.nodes):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    nodes.nodes = kept[::-1]
    nodes.constants = {name: value for name, value in nodes.constants.items() if name in needed}

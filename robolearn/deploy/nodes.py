"""A graph of ONNX in the making: nodes, constants, and the names of what torch's tensors became."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor

from robolearn.errors import UserError

OPSET = 20  # the first with Gelu; onnxruntime knows it since 1.17
ROW_BY_ROW = ("Add", "Div", "Mul", "Sigmoid", "Sub", "Tanh")  # rows of the result depend on the same rows alone
IR_VERSION = 9  # of the file, as of that opset
TYPES = {
    torch.float32: np.dtype("float32"),
    torch.float64: np.dtype("float64"),
    torch.int64: np.dtype("int64"),
    torch.int32: np.dtype("int32"),
    torch.uint8: np.dtype("uint8"),
    torch.bool: np.dtype("bool"),
}


def require(condition: bool, what: str) -> None:
    """Raise a UserError, with a word on what stands in the way, unless there are nodes for it."""
    if not condition:
        raise UserError(f"it uses {what}, for which there is no node")


def kind_of(dtype: torch.dtype) -> np.dtype[Any]:
    """What a type of torch is called elsewhere."""
    require(dtype in TYPES, f"numbers of type {dtype}")
    return TYPES[dtype]


class Nodes:
    """Nodes and constants.

    Each node has a name of its own, that of its first result: onnxruntime before 1.22 calls what it makes of nodes
    after them, and refuses a model in which two would be called alike.

    Attributes:
        nodes: In the order in which they can be computed.
        constants: Name -> array.
        shapes: Name -> shape, of inputs, constants, and what became of torch's tensors.
    """

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._names: dict[int, str] = {}
        self._made: dict[tuple[Any, ...], list[str]] = {}
        self._count = 0
        self._kept: list[Tensor] = []  # so that no other tensor gets the id of one that has a name
        self._by_content: dict[tuple[Any, ...], str] = {}

    def bind(self, tensor: Tensor, name: str) -> None:
        """Say that a tensor of torch is the value of this name."""
        self._names[id(tensor)] = name
        self.shapes[name] = tuple(tensor.shape)
        self._kept.append(tensor)

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one result; returns its name."""
        return self.add_many(kind, 1, *inputs, **attributes)[0]

    def add_many(self, kind: str, count: int, *inputs: str, **attributes: Any) -> list[str]:
        """Add a node with several results, if no node does the same already; returns their names."""
        key = kind, count, inputs, repr(sorted(attributes.items()))
        if key not in self._made:
            self._count += 1
            self._made[key] = [f"v{self._count}" if i == 0 else f"v{self._count}_{i}" for i in range(count)]
            self.nodes.append(
                helper.make_node(kind, list(inputs), self._made[key], name=f"v{self._count}", **attributes)
            )
            if kind in ROW_BY_ROW and all(name in self.shapes for name in inputs):
                self.shapes[self._made[key][0]] = np.broadcast_shapes(*(self.shapes[name] for name in inputs))
        return self._made[key]

    def constant(self, value: Any, dtype: Any = None) -> str:
        """The name of a constant; equal ones share it."""
        array = np.ascontiguousarray(np.asarray(value, dtype)).reshape(np.shape(value))
        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self._by_content:
            self._by_content[key] = name = f"c{len(self._by_content)}"
            self.constants[name], self.shapes[name] = array, array.shape
        return self._by_content[key]

    def ints(self, values: Sequence[int]) -> str:
        """A constant shape, or list of axes."""
        return self.constant(values, np.int64)

    def name(self, value: Any, dtype: torch.dtype | None = None) -> str:
        """The name of a tensor or number, in this type if one is given."""
        if not isinstance(value, Tensor):
            assert dtype is not None, "numbers have the type of what they meet"
            return self.constant(value, kind_of(dtype))
        if id(value) not in self._names:
            value = value.detach().cpu()
            return self.constant((value if dtype is None else value.to(dtype)).numpy())
        name = self._names[id(value)]
        return name if dtype in (None, value.dtype) else self.cast(name, dtype)

    def cast(self, name: str, dtype: torch.dtype) -> str:
        """A value in another type."""
        return self.add("Cast", name, to=helper.np_dtype_to_tensor_dtype(kind_of(dtype)))

    def model(self, inputs: dict[str, Tensor], output: str, result: Tensor) -> onnx.ModelProto:
        """The finished graph, with one result of this name; inputs that no node takes are left out.

        Args:
            inputs: By name, for their shapes and types.
            output: Name of the result.
            result: The tensor that torch made.
        """
        taken = {self.name(result), *(name for node in self.nodes for name in node.input)}
        end = helper.make_node("Identity", [self.name(result)], [output], name=output)
        graph = helper.make_graph(
            [*self.nodes, end],
            "sampler",
            [_described(name, value) for name, value in inputs.items() if name in taken],
            [_described(output, result)],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="robolearn")


def _described(name: str, value: Tensor) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(kind_of(value.dtype))
    return helper.make_tensor_value_info(name, kind, list(value.shape))

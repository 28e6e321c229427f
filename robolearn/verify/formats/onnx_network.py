"""Networks in ONNX as functions of torch, of one input without a batch.

Weights become tensors, and operations are done by torch in the precision of the input, one after the other. Of an input
whose first axis is a batch, as in ['N', 4] or [1, 1, 1, 5], one is taken; all other axes are flattened in order, as
VNN-LIB counts them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import util
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from robolearn.errors import UserError, one_line, printable
from robolearn.verify.formats.onnx_call import Call
from robolearn.verify.formats.onnx_operations import OPERATIONS
from robolearn.verify.network import Network

PRECISIONS = {1: torch.float32, 11: torch.float64}  # by the numbers that ONNX gives to types
MOST_INPUTS = 2**24
DEFAULT_DOMAINS = ("", "ai.onnx")


def check_installed() -> None:
    """Raise a UserError unless what reads ONNX is installed."""
    if util.find_spec("onnx") is None:
        raise UserError("a network in ONNX needs onnx; pip install 'robolearn[deploy]'")


def read_network(path: Path) -> Network:
    """The network of a file.

    Args:
        path: An ONNX file that holds its weights, with one input and one output.

    Raises:
        UserError: It is damaged, or has what is not supported, or onnx is not installed; says what in one line.
        OSError: It cannot be read.
    """
    check_installed()
    content = path.read_bytes()
    try:
        return _network(_model(content), path.name, hashlib.sha256(content).hexdigest())
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


@dataclass(frozen=True, eq=False)
class Step:
    """A node of the file.

    Attributes:
        title: What messages call it.
        name: Its operation.
        attributes: Name -> value.
        sources: Names of what it reads; empty for what is left out.
        results: Names of what it computes.
    """

    title: str
    name: str
    attributes: Mapping[str, Any]
    sources: Sequence[str]
    results: Sequence[str]


@dataclass(frozen=True, eq=False)
class OnnxFunction:
    """The function of a file: x [n] -> y [m].

    Attributes:
        steps: In the order in which they are computed.
        constants: Name -> weights.
        source: Name of the input.
        result: Name of the output.
        shape: Of the input, with a batch of one.
        opset: Version of the operations.
        dtype: What the file is made for.
    """

    steps: Sequence[Step]
    constants: Mapping[str, Tensor]
    source: str
    result: str
    shape: Sequence[int]
    opset: int
    dtype: torch.dtype
    _cast: dict[torch.dtype, dict[str, Tensor]] = field(default_factory=dict)

    def __call__(self, x: Tensor) -> Tensor:
        """Compute it in the dtype of x.

        Raises:
            UserError: An operation cannot do what it is asked for; names it.
        """
        if x.dtype not in self._cast:
            self._cast[x.dtype] = {name: _in_precision(value, x.dtype) for name, value in self.constants.items()}
        values = {**self._cast[x.dtype], self.source: x.reshape(self.shape)}
        reached = {self.source}
        for step in self.steps:
            results = self._computed(step, values, reached, x.dtype)
            if step.name != "Shape" and not reached.isdisjoint(step.sources):
                reached |= set(step.results)
            values |= zip(step.results, results, strict=False)  # masks and indices are not computed
        return values[self.result].flatten()

    def _computed(
        self, step: Step, values: Mapping[str, Tensor], reached: set[str], dtype: torch.dtype
    ) -> list[Tensor]:
        missing = [name for name in step.sources if name and name not in values]
        if missing:
            raise UserError(f"{step.title} reads {printable(missing[0])}, which nothing before it gives")
        call = Call(
            name=step.name,
            attributes=step.attributes,
            inputs=[values.get(name) for name in step.sources],
            reached={i for i, name in enumerate(step.sources) if name in reached},
            num_outputs=len(step.results),
            opset=self.opset,
            dtype=dtype,
            own_dtype=self.dtype,
        )
        try:
            outputs = OPERATIONS[step.name](call)
        except UserError as error:
            raise UserError(f"{step.title}: {error}") from None
        except (
            RuntimeError,
            IndexError,
            ValueError,
            TypeError,
        ) as error:  # of torch: what the file asks for does not fit
            raise UserError(f"{step.title} cannot be computed: {one_line(error)[:200]}") from None
        unknown = sorted(set(step.attributes) - call.asked)
        if unknown:
            raise UserError(f"{step.title}: its attribute {printable(unknown[0])} is not supported")
        results = [outputs] if isinstance(outputs, Tensor) else list(outputs)
        return [_in_precision(one, dtype) for one in results]


def _in_precision(value: Tensor, dtype: torch.dtype) -> Tensor:
    """Numbers in the precision that is computed in; integers and truth values stay what they are."""
    return value.to(dtype) if value.is_floating_point() else value


def _model(content: bytes) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.ModelProto.FromString(content)
    except DecodeError:
        raise UserError("it is no ONNX file, or not a whole one") from None
    if not model.graph.node or not model.opset_import:
        raise UserError("it has no network in it")
    unknown = sorted({_full_name(node) for node in model.graph.node} - set(OPERATIONS))
    if unknown:
        are = "is" if len(unknown) == 1 else "are"
        raise UserError(f"{', '.join(map(printable, unknown))} {are} not supported; known are {', '.join(OPERATIONS)}")
    return model


def _full_name(node: Any) -> str:
    return node.op_type if node.domain in DEFAULT_DOMAINS else f"{node.domain}.{node.op_type}"


def _network(model: Any, name: str, sha256: str) -> Network:
    graph = model.graph
    constants = {one.name: _weights(one) for one in graph.initializer}
    if graph.sparse_initializer:
        raise UserError("weights that are sparse are not supported")
    inputs = [one for one in graph.input if one.name not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise UserError(f"it has {len(inputs)} inputs and {len(graph.output)} outputs; one of each is supported")
    shape, dtype = _shape_and_precision(inputs[0])
    opset = max((one.version for one in model.opset_import if one.domain in DEFAULT_DOMAINS), default=1)
    function = OnnxFunction(
        [_step(node, number) for number, node in enumerate(graph.node, start=1)],
        constants,
        inputs[0].name,
        graph.output[0].name,
        shape,
        opset,
        dtype,
    )
    size = math.prod(shape)
    with torch.no_grad():
        output = function(torch.zeros(size, dtype=dtype))
    return Network(function, size, len(output), dtype, name, sha256)


def _step(node: Any, number: int) -> Step:
    import onnx

    values = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    tensors = {key: _weights(value) for key, value in values.items() if isinstance(value, onnx.TensorProto)}
    label = f" {node.name}" if node.name else ""
    title = printable(f"node {number}, {node.op_type}{label}"[:100])
    return Step(title, node.op_type, values | tensors, tuple(node.input), tuple(node.output))


def _weights(tensor: Any) -> Tensor:
    """Of a tensor in the file.

    Raises:
        UserError: They lie in another file, or are damaged, no numbers or not finite.
    """
    import onnx

    name = printable(tensor.name or "a constant")
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise UserError(
            f"the weights {name} lie in another file, which is not supported; save them inside of the network"
        )
    try:
        array = onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"the weights {name} are damaged ({one_line(error)[:100]})") from None
    if array.dtype.kind not in "fiub":
        raise UserError(f"the weights {name} are of type {array.dtype}, which is not supported")
    value = torch.from_numpy(array.copy())
    if value.is_floating_point() and not value.isfinite().all():
        raise UserError(f"the weights {name} are not finite")
    return value


def _shape_and_precision(source: Any) -> tuple[list[int], torch.dtype]:
    """Of the input, with a batch of one where the file leaves its first axis open."""
    kind = source.type.tensor_type
    name = printable(source.name)
    if kind.elem_type not in PRECISIONS:
        raise UserError(
            f"its input {name} holds numbers of type {kind.elem_type}; float32 (1) or float64 (11) are supported"
        )
    if not kind.HasField("shape"):
        raise UserError(f"its input {name} has no shape")
    sizes = [one.dim_value if one.dim_value > 0 else None for one in kind.shape.dim]
    if sizes and sizes[0] is None:
        sizes[0] = 1
    if None in sizes:
        raise UserError(
            f"axis {sizes.index(None)} of its input {name} has no size; only the first, a batch, may be open"
        )
    shape = [size for size in sizes if size is not None]
    if math.prod(shape) > MOST_INPUTS:
        raise UserError(f"its input {name} has {math.prod(shape)} numbers, more than the {MOST_INPUTS} that are read")
    return shape, PRECISIONS[kind.elem_type]

"""What a computation did, operation by operation, as far as it depended on its inputs.

A computation is run once on example inputs. Operations that an input reaches are noted; what no input reaches, such as
the embedding of a sampler's times, is computed by torch there and then and counts as a constant. Python's loops and
branches leave no trace: a sampler of twenty steps becomes the operations of twenty steps.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from robolearn.errors import UserError
from robolearn.nets.unet_rows import whole_convolutions

# What these return depends on the shape of what they are given, not on its numbers.
SHAPE_ALONE = ("new_zeros", "new_ones", "new_full", "new_empty", "new_empty_strided")
SHAPE_ALONE += ("zeros_like", "ones_like", "full_like", "empty_like")

# These read or copy numbers without an operation that the dispatcher sees.
READING = ("tolist", "numpy", "__array__", "__deepcopy__", "__dlpack__", "untyped_storage")
RESHAPING = ("squeeze_", "unsqueeze_", "transpose_", "t_")  # of a tensor in place, whose numbers stay


@dataclass(frozen=True)
class Operation:
    """One operation of torch.

    Attributes:
        name: Such as aten.mm.default.
        args: What it was given, with tensors as they were.
        kwargs: By name.
        result: A tensor, or several.
    """

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any


class Tape(TorchDispatchMode):
    """Notes the operations that the inputs reach.

    Attributes:
        operations: In the order in which they were made.
    """

    def __init__(self, inputs: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.operations: list[Operation] = []
        self._reached: dict[int, Tensor] = {}  # kept, so that no other gets their ids
        self._memory: set[int] = set()
        self._reach(inputs.values())

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Torch's compiler need not be told to leave this alone: for that it would be imported, which takes seconds."""
        return False

    def reaches(self, value: object) -> bool:
        """Whether a tensor depends on an input."""
        return id(value) in self._reached

    def _reach(self, values: Collection[Tensor]) -> None:
        self._reached |= {id(value): value for value in values}
        self._memory |= {memory for value in values if (memory := value.untyped_storage().data_ptr())}

    def _is_disguised(self, value: Tensor) -> bool:
        """Whether it has the numbers of a tensor that depends on an input, and no operation that made it."""
        return not self.reaches(value) and value.untyped_storage().data_ptr() in self._memory

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Compute, and note it.

        Raises:
            UserError: A number is read back, which a graph cannot do, or a tensor is overwritten.
        """
        kwargs = kwargs or {}
        name = str(func)
        if any(map(self._is_disguised, tensors((args, kwargs)))):
            raise UserError(f"it takes its own numbers past torch's operations ({name}), which a graph of them cannot")
        result = func(*args, **kwargs)
        if not any(map(self.reaches, tensors((args, kwargs)))) or name.split(".")[1] in SHAPE_ALONE:
            return result
        if not all(isinstance(one, Tensor) for one in tensors(result, others=True)):
            raise UserError(f"it decides by its own numbers ({name}), which a graph of operations cannot")
        library, short, overload = name.split(".")
        if short in RESHAPING:
            name = f"{library}.{short[:-1]}.{overload}"
        elif func._schema.is_mutable:
            raise UserError(f"it overwrites a tensor ({name}), which a graph of operations cannot")
        self.operations.append(Operation(name, args, kwargs, result))
        self._reach(list(tensors(result)))
        return result


class Unread(TorchFunctionMode):
    """Refuses what reads numbers of tensors on a tape without an operation: they would count as constants."""

    def __init__(self, tape: Tape) -> None:
        super().__init__()
        self._tape = tape

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Compute.

        Raises:
            UserError: Numbers are read.
        """
        name = getattr(func, "__name__", "")
        if name in READING and self._tape.reaches(args[0]):
            raise UserError(f"it decides by its own numbers ({name}), which a graph of operations cannot")
        return func(*args, **(kwargs or {}))


class Touched(TorchDispatchMode):
    """Notes which tensors a computation uses, however it comes by them."""

    def __init__(self) -> None:
        super().__init__()
        self._touched: dict[int, Tensor] = {}  # kept, so that no other gets their ids

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """See Tape."""
        return False

    def __contains__(self, value: Tensor) -> bool:
        return id(value) in self._touched

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Compute."""
        self._touched |= {id(value): value for value in tensors((args, kwargs or {}))}
        return func(*args, **(kwargs or {}))


def tensors(values: Any, *, others: bool = False) -> Iterator[Any]:
    """The tensors among nested values; with ``others`` also what is none."""
    if isinstance(values, tuple | list):
        for value in values:
            yield from tensors(value, others=others)
    elif isinstance(values, dict):
        yield from tensors(list(values.values()), others=others)
    elif others or isinstance(values, Tensor):
        yield values


def record(function: Callable[..., Tensor], inputs: Mapping[str, Tensor]) -> tuple[Tape, Tensor]:
    """Run a function of named tensors, and note what it did.

    Returns:
        What was noted, and what the function returned.

    Raises:
        UserError: It cannot be a graph of operations; see Tape.
    """
    tape = Tape(inputs)
    with torch.no_grad(), whole_convolutions(), Unread(tape), tape:
        return tape, function(**inputs)

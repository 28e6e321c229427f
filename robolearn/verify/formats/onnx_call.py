"""One operation of an ONNX network, with what it is given."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from robolearn.errors import UserError, printable


@dataclass(frozen=True, eq=False)
class Call:
    """An operation and what it reads.

    Attributes:
        name: Such as Gemm.
        attributes: Name -> value, as the file has them; numbers, texts (bytes), lists, tensors.
        inputs: Its inputs in order; None for one that is left out.
        reached: Which of them depend on the network's input.
        num_outputs: How many results it is asked for.
        opset: Version of the operations, by which some changed their meaning.
        dtype: What the network is computed in.
        own_dtype: What its file says that it is computed in.
        asked: The names of attributes that were looked at; what was not is not understood.
    """

    name: str
    attributes: Mapping[str, Any]
    inputs: Sequence[Tensor | None]
    reached: Collection[int]
    num_outputs: int
    opset: int
    dtype: torch.dtype
    own_dtype: torch.dtype
    asked: set[str] = field(default_factory=set)

    def attribute(self, name: str, default: Any) -> Any:
        """An attribute, or what it is where the file leaves it out."""
        self.asked.add(name)
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def only(self, name: str, *values: Any) -> None:
        """Refuse all values of an attribute but these; the first is that of a file without it.

        Raises:
            UserError: It has another.
        """
        value = self.attribute(name, values[0])
        if value not in values:
            raise UserError(f"{name} {printable(str(value))} is not supported")

    def ignore(self, *names: str) -> None:
        """Say of attributes that they change nothing."""
        self.asked.update(names)

    def tensor(self, index: int) -> Tensor:
        """An input that must be there.

        Raises:
            UserError: It is not.
        """
        value = self.optional(index)
        if value is None:
            raise UserError(f"its input {index} is missing")
        return value

    def optional(self, index: int) -> Tensor | None:
        """An input that may be left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def numbers(self, index: int) -> list[int]:
        """Integers that must not depend on the network's input, such as a shape.

        Raises:
            UserError: They do, or are missing, or no integers.
        """
        value = self.fixed(index)
        if value is None:
            raise UserError(f"its input {index} is missing")
        if value.is_floating_point():
            raise UserError(f"its input {index} holds no integers")
        return value.flatten().tolist()

    def fixed(self, index: int) -> Tensor | None:
        """An input that may be left out and must not depend on the network's input.

        Raises:
            UserError: It does.
        """
        if index in self.reached:
            raise UserError(f"its input {index} depends on the input of the network, which is not supported")
        return self.optional(index)

    def axes(self, since: int, index: int = 1) -> list[int] | None:
        """Axes that are an attribute before a version, and the input at an index since then; None for no choice."""
        if self.opset < since:
            return self.attribute("axes", None)
        return None if self.optional(index) is None else self.numbers(index)


Operation = Callable[[Call], Tensor | Sequence[Tensor]]
"""What computes the result of a call, or its results."""

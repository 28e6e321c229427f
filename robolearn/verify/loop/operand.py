"""What a user's function may do with an argument: the operators and numpy's functions, and a refusal of all else."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NoReturn, TypeGuard

import numpy as np
from torch import Tensor

from robolearn.errors import UserError
from robolearn.verify.loop import expansions
from robolearn.verify.loop.expansions import Expand


class Operand(ABC):
    """A quantity in place of a number, so that one function serves numbers, arrays of them, and enclosures."""

    @abstractmethod
    def __add__(self, other: Any) -> Any: ...

    @abstractmethod
    def __mul__(self, other: Any) -> Any: ...

    @abstractmethod
    def __neg__(self) -> Any: ...

    @abstractmethod
    def apply(self, expand: Expand) -> Any:
        """An elementary function of it."""

    def __pos__(self) -> Any:
        return self

    def __radd__(self, other: Any) -> Any:
        return self + other

    def __rsub__(self, other: Any) -> Any:
        return -self + other

    def __rmul__(self, other: Any) -> Any:
        return self * other

    def __rtruediv__(self, other: Any) -> Any:
        return self.apply(expansions.reciprocal) * other

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **_: Any) -> Any:
        """What numpy's functions are of it, or of arrays of such quantities."""
        if any(isinstance(x, np.ndarray) and x.ndim for x in inputs):
            return ufunc(*map(_objects, inputs))
        name = ufunc.__name__
        if name in ARITHMETIC:
            return ARITHMETIC[name](*(x.item() if isinstance(x, np.generic | np.ndarray) else x for x in inputs))
        if name not in ELEMENTARY:
            refuse(f"numpy's {name}")
        return ELEMENTARY[name](self)

    def __getattr__(self, name: str) -> Any:
        """The methods by which numpy applies a function to an array of objects."""
        if name in ELEMENTARY:
            return lambda: ELEMENTARY[name](self)
        raise AttributeError(name)

    def _branch(self, *_: Any) -> NoReturn:
        refuse("a comparison or a branch on the state")

    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = __bool__ = _branch  # type: ignore[assignment]

    def _convert(self, *_: Any) -> NoReturn:
        refuse("a conversion of the state to a number (the functions of math)")

    __float__ = __int__ = __index__ = _convert

    def __abs__(self) -> NoReturn:
        refuse("abs")

    def __rpow__(self, other: Any) -> Any:
        refuse("an exponent that depends on the state")


def is_number(value: Any) -> TypeGuard[float | np.number | Tensor]:
    """Whether arithmetic with a model takes it for a number; a tensor [b] has one per box."""
    return isinstance(value, int | float | np.number | Tensor)


def refuse(what: str) -> NoReturn:
    """Raise what a user reads whose function does what has no enclosure."""
    known = ", ".join(f"numpy.{name}" for name in ELEMENTARY)
    raise UserError(f"a function of the state uses {what}, which has no enclosure; known are + - * / ** and {known}")


def _objects(value: Any) -> np.ndarray:
    """An array of Python objects, of which numpy applies the operators one by one."""
    if isinstance(value, Operand):
        box = np.empty((), object)
        box[()] = value
        return box
    return np.asarray(value).astype(object)


ARITHMETIC: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "power": operator.pow,
    "negative": operator.neg,
    "positive": operator.pos,
}
ELEMENTARY: dict[str, Callable[[Operand], Any]] = {
    "sin": lambda x: x.apply(expansions.sine),
    "cos": lambda x: x.apply(expansions.cosine),
    "tan": lambda x: x.apply(expansions.sine) * x.apply(expansions.cosine).apply(expansions.reciprocal),
    "exp": lambda x: x.apply(expansions.exponential),
    "log": lambda x: x.apply(expansions.logarithm),
    "sqrt": lambda x: x.apply(expansions.square_root),
    "tanh": lambda x: x.apply(expansions.hyperbolic_tangent),
    "square": lambda x: x * x,
    "reciprocal": lambda x: x.apply(expansions.reciprocal),
}

"""All operations, and the options by name that each may be given."""

from __future__ import annotations

from robolearn.errors import UserError
from robolearn.nets.tape import Operation
from robolearn.verify.builder import Lowering
from robolearn.verify.operations.elementwise import ELEMENTWISE
from robolearn.verify.operations.extremes import EXTREMES
from robolearn.verify.operations.linear import LAYOUT, LINEAR
from robolearn.verify.operations.normalizing import NORMALIZING

OPERATIONS: dict[str, Lowering] = {**LINEAR, **ELEMENTWISE, **NORMALIZING, **EXTREMES}
"""Operation of torch's aten -> how it is lowered."""
KEYWORDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(LAYOUT, ("memory_format", "implicit", "sparse_grad")),
    **dict.fromkeys(("sum", "mean", "cumsum"), ("dtype",)),
    **dict.fromkeys(("add", "sub", "rsub"), ("alpha",)),
    "addcmul": ("value",),
    "addmm": ("alpha", "beta"),
    "clamp": ("min", "max"),
    "gelu": ("approximate",),
}
"""Operation -> the options by name that its lowering looks at, or that change nothing."""


def check_keywords(operation: Operation) -> None:
    """Refuse options that a lowering would pass over.

    Raises:
        UserError: There is one.
    """
    given = {key for key, value in operation.kwargs.items() if value is not None}
    for key in sorted(given.difference(KEYWORDS.get(operation.name.split(".")[1], ()))):
        raise UserError(f"the network uses {operation.name} with {key}, for which there are no bounds")

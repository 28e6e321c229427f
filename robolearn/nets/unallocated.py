"""Networks without memory: names, shapes and types of their weights, before anything is allocated or drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

DRAWS = "torch.nn.init"


@contextmanager
def unallocated() -> Iterator[None]:
    """Build what is built inside on torch's meta device, and draw no weights.

    Neither drawing nor arithmetic gives numbers there, but torch imports its compiler for it, which takes a second or
    two: what computes constants leaves that (`is_unallocated`).
    """
    with torch.device("meta"), _Undrawn():
        yield


def is_unallocated() -> bool:
    """Whether what is built now is to be without memory."""
    return torch.get_default_device().type == "meta"


class _Undrawn(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if getattr(func, "__module__", None) == DRAWS:
            return given["tensor"] if "tensor" in given else args[0]
        return func(*args, **given)

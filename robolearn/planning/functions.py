"""Functions of the user's own on transitions, by name: MODULE:NAME."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robolearn.errors import UserError
from robolearn.modules import beside_you, reason_of
from robolearn.types import Array

OfTransitions = Callable[[Tensor, Tensor, Tensor], Tensor]


def load_function(name: str, option: str) -> Callable[..., Any]:
    """Import a function.

    Args:
        name: MODULE:NAME.
        option: Where it was asked for, for messages.

    Raises:
        UserError: It is no such name, the module cannot be imported, or has no such function.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise UserError(f"`{option}` {name} must be MODULE:NAME, the function's module and its name")
    try:
        function = getattr(importlib.import_module(module), attribute, None)
    except (Exception, SystemExit) as error:  # a module of others may raise anything
        if isinstance(error, ModuleNotFoundError) and error.name == module and (beside := beside_you(module)):
            raise UserError(f"`{option}` {name}: {beside}") from error
        raise UserError(f"`{option}` {name}: importing {module} failed: {reason_of(error)}") from error
    if not callable(function):
        raise UserError(f"`{option}` {name}: {module} has no function {attribute}")
    return function


def on_tensors(function: Callable[..., Any], option: str, kind: str) -> OfTransitions:
    """A function on numpy arrays as one on tensors, whose result is looked at.

    Args:
        function: Of states [..., s], actions [..., a] and next states [..., s], numpy arrays; returns an array [...].
        option: Where it was asked for, for messages.
        kind: Of the result's dtype, as numpy calls it: "f" for numbers, "b" for truth values.
    """

    def call(before: Tensor, actions: Tensor, after: Tensor) -> Tensor:
        given = [rows.contiguous().numpy() for rows in (before, actions, after)]
        try:
            result = np.asarray(function(*given))
        except Exception as error:  # the user's code may raise anything
            raise UserError(f"`{option}`: the function raised {reason_of(error)}") from error
        check_result(result, before.shape[:-1], option, kind)
        known = np.logical_and.reduce([np.isfinite(rows).all(-1) for rows in given])  # a wild model may know no state
        if not np.isfinite(result[known]).all():
            raise UserError(f"`{option}`: the function returned NaN or infinity of states and actions that are finite")
        return torch.from_numpy(np.array(result, np.float32 if kind == "f" else bool))

    return call


def check_result(result: Array, shape: tuple[int, ...], option: str, kind: str) -> None:
    """Refuse what is not one number, or one truth value, per transition.

    Raises:
        UserError: It is something else.
    """
    wanted = {"f": "numbers", "b": "truth values"}[kind]
    if result.shape != tuple(shape) or result.dtype.kind not in {"f": "fiu", "b": "b"}[kind]:
        raise UserError(
            f"`{option}`: the function must return {wanted} of shape {tuple(shape)}, one per transition; "
            f"it returned {result.dtype} of shape {result.shape}"
        )

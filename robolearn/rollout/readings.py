"""A stranger's values as what they are meant to be: numbers, flags, modes. What cannot be meant is a fault."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from robolearn.types import Array

REAL = "biuf"  # kinds of dtypes
ABSENT: Any = object()
SHOWN = 40  # characters of a value in a message


class FaultError(Exception):
    """An environment did what it must not; the message says what, in one line."""


def read_array(name: str, value: Any) -> Array:
    """An array of real numbers.

    Raises:
        FaultError: It is something else.
    """
    try:
        array = np.asarray(value)
    except Exception as error:  # ragged lists, and whatever __array__ raises
        raise FaultError(f"{name} is no array of numbers ({type(error).__name__})") from None
    if array.dtype.kind not in REAL:
        raise FaultError(f"{name} must be numbers, it is {shown(value)}")
    return array


def read_number(name: str, value: Any) -> float:
    """One finite real number; an array of one is none.

    Raises:
        FaultError: It is something else.
    """
    array = read_array(name, value)
    if array.ndim:
        raise FaultError(f"{name} is an array of shape {array.shape}, not a number")
    if not np.isfinite(array):
        raise FaultError(f"{name} is {array}")
    return float(array)


def read_flag(name: str, value: Any) -> bool:
    """A truth value: a bool, 0 or 1, or an array that holds one such.

    Raises:
        FaultError: It is something else.
    """
    array = read_array(name, value)
    if array.size != 1 or array.item() not in (0, 1):
        raise FaultError(f"{name} must be true or false, it is {shown(value)}")
    return bool(array.item())


def read_mode(value: Any, num_modes: int | None) -> int:
    """A solution mode: a whole number of at least -1, below num_modes where that is known.

    Raises:
        FaultError: It is something else.
    """
    number = read_number("the mode", value)
    if not number.is_integer() or number < -1 or (num_modes is not None and number >= num_modes):
        allowed = "-1, 0, 1, ..." if num_modes is None else f"-1 .. {num_modes - 1}"
        raise FaultError(f"the mode must be one of {allowed}, it is {shown(value)}")
    return int(number)


def find_nested(values: Mapping[str, Any], name: str) -> Any:
    """What lies under a name, or under a path of names with dots between them; ABSENT where nothing does."""
    if name in values:
        return values[name]
    parts = name.split(".")
    for cut in range(1, len(parts)):
        inner = values.get(".".join(parts[:cut]))
        leaf = find_nested(inner, ".".join(parts[cut:])) if isinstance(inner, Mapping) else ABSENT
        if leaf is not ABSENT:
            return leaf
    return ABSENT


def kind_of(value: Any) -> str:
    """What a space or a value is, in a word or two."""
    from gymnasium import spaces  # late, as in interface.py

    if isinstance(value, spaces.Box):
        return f"a Box of {value.dtype}"
    if type(value).__module__.partition(".")[0] == "gym":
        return f"a {type(value).__name__} of gym, which gymnasium replaced"
    return "None" if value is None else type(value).__name__


def shown(value: Any) -> str:
    """A value in a few characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."

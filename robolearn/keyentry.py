"""One key made of others: which parts of them, joined in which order, as which type; `keymap.py` reads the texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from robolearn.errors import UserError
from robolearn.images import ImageLayout

Array = np.ndarray

IMAGE = "image"
TYPES = ("bool", "uint8", "uint16", "int32", "int64", "float32", "float64", IMAGE)
NAME = re.compile(r"""\s*(?:'(?P<single>(?:[^']|'')*)'|"(?P<double>(?:[^"]|"")*)"|(?P<bare>[^=+\[\]:?'"]+))\s*""")
Pick = int | tuple[int, ...] | slice


@dataclass(frozen=True)
class Source:
    """A key and which part of it.

    Attributes:
        key: Its name.
        picks: Taken one after the other, each of the first axis.
    """

    key: str
    picks: tuple[Pick, ...] = ()

    def take(self, array: Array, leading: int) -> Array:
        """The part of an array [*leading, ...]; one number becomes a vector of one.

        Raises:
            UserError: It asks for what the array does not have.
        """
        for pick in self.picks:
            if array.ndim == leading:
                raise UserError(f"{self}: {quoted(self.key)} has no axis left to take {_spelled(pick)} of")
            self._check(pick, array.shape[leading])
            array = array[(slice(None),) * leading + (list(pick) if isinstance(pick, tuple) else pick,)]
        return array[..., None] if array.ndim == leading else array

    def _check(self, pick: Pick, size: int) -> None:
        if isinstance(pick, slice):
            ends = [end for end in (pick.start, pick.stop) if end is not None]
            fits = all(-size <= end <= size for end in ends) and len(range(*pick.indices(size))) > 0
        else:
            fits = all(-size <= i < size for i in (pick if isinstance(pick, tuple) else (pick,)))
        if not fits:
            raise UserError(f"{self}: {quoted(self.key)} has {size} entries there, {_spelled(pick)} asks for others")

    def __str__(self) -> str:
        return quoted(self.key) + "".join(map(_spelled, self.picks))


@dataclass(frozen=True)
class Entry:
    """One key and what it is made of.

    Attributes:
        name: The new key.
        sources: Joined in this order.
        dtype: One of TYPES; None leaves the type as it is.
        optional: Whether a key that is there under this name already is left as it is.
    """

    name: str
    sources: tuple[Source, ...]
    dtype: str | None = None
    optional: bool = False

    def join(self, arrays: Mapping[str, Array], leading: int) -> Array:
        """The parts of it, joined, in the type that numpy gives them.

        Vectors are joined end to end, arrays of equally many axes along the last one, others flattened.

        Raises:
            UserError: A source is not there, has no such part, or the parts do not fit together.
        """
        parts = [self._part(source, arrays, leading) for source in self.sources]
        if len({part.ndim for part in parts}) > 1:
            parts = [part.reshape(*part.shape[:leading], -1) for part in parts]
        if len({part.shape[:-1] for part in parts}) > 1:
            shapes = " and ".join(str(part.shape[leading:]) for part in parts)
            raise UserError(f"{self}: shapes {shapes} cannot be joined along their last axis")
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)

    def _part(self, source: Source, arrays: Mapping[str, Array], leading: int) -> Array:
        if source.key not in arrays:
            literal = str(self).partition("=")[2]
            hint = f"; quote the key: {quoted(literal)}" if literal in arrays else ""
            there = ", ".join(map(quoted, arrays)) or "none"
            raise UserError(f"{self}: there is no key {quoted(source.key)}; there are {there}{hint}")
        return source.take(arrays[source.key], leading)

    def make(self, arrays: Mapping[str, Array], leading: int) -> Array:
        """The new key; see `join`.

        Raises:
            UserError: As `join`, or its numbers are none of the type.
        """
        joined = self.join(arrays, leading)
        if self.dtype is None:
            return joined
        return self._image(joined, leading) if self.dtype == IMAGE else self._cast(joined, np.dtype(self.dtype))

    def _cast(self, array: Array, dtype: np.dtype) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            cast = array.astype(dtype)
        same = cast == array if dtype.kind != "f" else np.isfinite(cast) | ~np.isfinite(array)
        if not same.all():
            raise UserError(f"{self}: {array[~same].flat[0]} is no {dtype}")
        return cast

    def _image(self, array: Array, leading: int) -> Array:
        """Gray images may lack the axis of their channel; floats are in [0, 1]."""
        if array.ndim == leading + 2:
            array = array[..., None]
        white = 1.0 if array.dtype.kind == "f" else 255.0
        try:
            return ImageLayout.recognize(array.shape[leading:], array.dtype, 0.0, white).convert(array)
        except ValueError as error:
            raise UserError(f"{self}: {error}") from None

    def __str__(self) -> str:
        kind = f":{self.dtype}" if self.dtype else ""
        return f"{quoted(self.name)}{kind}{'?' if self.optional else ''}={'+'.join(map(str, self.sources))}"


def quoted(name: str) -> str:
    """A key as the grammar has it: in quotes where it has to be."""
    whole = NAME.fullmatch(name)
    if whole and whole["bare"] == name and name == name.strip():
        return name
    return f'"{name}"' if "'" in name and '"' not in name else "'" + name.replace("'", "''") + "'"


def _spelled(pick: Pick) -> str:
    if isinstance(pick, slice):
        ends = [pick.start, pick.stop, *([] if pick.step is None else [pick.step])]
        return f"[{':'.join('' if end is None else str(end) for end in ends)}]"
    return f"[{','.join(map(str, pick))}]" if isinstance(pick, tuple) else f"[{pick}]"

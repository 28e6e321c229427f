"""What is chosen by name and may be added to from outside: families, backbones, scores of doubt, formats."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from robolearn.errors import UserError

T = TypeVar("T")


class Catalog(UserDict[str, T]):
    """Entries by name, those that are added like the others.

    A name is of the module that gave it. That one may give it again, as a cell of a notebook does that is run twice. No
    other one may: what was made under the name would be opened as something else.

    Args:
        kind: What the entries are, for messages.
        entries: Those of ours.
        made_by: The function or class of an entry that its author wrote; by default the entry itself.
        beside: Catalogs that give no name of this one, as files tell the kinds apart by it.
    """

    def __init__(
        self,
        kind: str,
        entries: Mapping[str, T],
        made_by: Callable[[T], object] = lambda entry: entry,
        beside: tuple[Catalog[Any], ...] = (),
    ) -> None:
        self.kind, self.beside, self._made_by = kind, beside, made_by
        super().__init__(entries)

    def __setitem__(self, name: str, entry: T) -> None:
        for catalog in (self, *self.beside):
            if name in catalog and not (catalog is self and self._module(self[name]) == self._module(entry)):
                holder = catalog._module(catalog[name])
                raise UserError(f"there is a {catalog.kind} {name!r} already, of {holder}; choose another name")
        super().__setitem__(name, entry)

    def _module(self, entry: T) -> str | None:
        return getattr(self._made_by(entry), "__module__", None)

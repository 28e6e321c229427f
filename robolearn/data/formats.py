"""The formats of other projects that demonstrations can be imported from: one dict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from robolearn.data.importers import import_adroit
from robolearn.data.writer import DemoWriter
from robolearn.errors import UserError

Importer = Callable[[Path, Path], DemoWriter]
"""Reads the file or folder that is its first argument and writes a store, its second, which it returns."""

FORMATS: dict[str, Importer] = {"adroit": import_adroit}


def find_format(name: str) -> Importer:
    """What imports a format; one's own is added to FORMATS first.

    Raises:
        UserError: There is none of that name.
    """
    if name not in FORMATS:
        raise UserError(f"there is no format {name!r}; choose from {', '.join(FORMATS)}, or add your own to FORMATS")
    return FORMATS[name]

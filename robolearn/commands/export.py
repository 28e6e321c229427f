"""Write a store in another project's format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, arg

from robolearn.commands.parsing import Plugins, build, mirror
from robolearn.commands.transferring import transfer
from robolearn.formats.format import ExportOptions
from robolearn.formats.registry import writable
from robolearn.formats.transfer import Transfer, export_demos

KIND = f"One of {', '.join(writable())}, or your own."

Ask = mirror(ExportOptions)


@dataclass(frozen=True)
class Options:
    """Options of an export."""

    kind: Annotated[Positional[str], arg(metavar="FORMAT", help=KIND)]
    store: Annotated[Positional[Path], arg(metavar="STORE")]
    """The store."""
    out: Path
    """File or folder to write."""
    ask: OmitArgPrefixes[Ask] = field(default_factory=Ask)
    """What the format asks for and the store may not say."""
    plugin: Plugins = ()


def main(arguments: Sequence[str], prog: str) -> None:
    """Parse, export, and say what was written and what could not be."""

    def act(given: Any) -> Transfer:
        return export_demos(given.store, given.out, given.kind, build(given.ask))

    transfer(Options, arguments, prog, __doc__, act, "as")

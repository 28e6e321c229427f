"""Turn another project's demonstrations into a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, arg

from robolearn.commands.parsing import Plugins, build, mirror, next_step
from robolearn.commands.transferring import transfer
from robolearn.formats.format import ImportOptions
from robolearn.formats.registry import AUTO, readable
from robolearn.formats.transfer import Transfer, import_demos

KIND = f"One of {', '.join(readable())}, your own, or {AUTO} to recognize it."

Select = mirror(ImportOptions)


@dataclass(frozen=True)
class Options:
    """Options of an import."""

    kind: Annotated[Positional[str], arg(metavar="FORMAT", help=KIND)]
    source: Annotated[Positional[Path], arg(metavar="SRC")]
    """The file or folder."""
    out: Path
    """Store to write, e.g. datasets/adroit_door.zarr."""
    select: OmitArgPrefixes[Select] = field(default_factory=Select)
    """What of the source is read."""
    plugin: Plugins = ()


def main(arguments: Sequence[str], prog: str) -> None:
    """Parse, import, and say what the store holds and what it could not."""

    def act(given: Any) -> Transfer:
        return import_demos(given.source, given.out, given.kind, build(given.select))

    done = transfer(Options, arguments, prog, __doc__, act, "from")
    print(next_step(prog, "inspect", done.path))

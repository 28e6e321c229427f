"""Turn another project's demonstrations into a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import Positional, arg

from robolearn.commands.parsing import Plugins, import_plugins
from robolearn.data.formats import FORMATS, find_format


@dataclass(frozen=True)
class Options:
    """Options of an import."""

    kind: Annotated[Positional[str], arg(metavar="FORMAT", help=f"One of {', '.join(FORMATS)}, or your own.")]
    source: Annotated[Positional[Path], arg(metavar="SRC")]
    """The file."""
    out: Path
    """Store to write, e.g. datasets/adroit_door.zarr."""
    plugin: Plugins = ()


def main(arguments: Sequence[str], prog: str) -> None:
    """Parse, import, and say what the store holds."""
    import_plugins(arguments)
    given: Any = tyro.cli(Options, args=arguments, prog=prog, description=__doc__)
    store = find_format(given.kind)(given.source, given.out)
    print(f"{given.out}: {store.num_episodes} episodes, {store.num_steps} steps")

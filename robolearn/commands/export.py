"""Write a store in another project's format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import OmitArgPrefixes, Positional, arg

from robolearn.commands.parsing import Plugins, build, import_plugins, mirror
from robolearn.errors import as_flags
from robolearn.formats.format import ExportOptions
from robolearn.formats.registry import writable
from robolearn.formats.transfer import export_demos

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
    import_plugins(arguments)
    given: Any = tyro.cli(Options, args=arguments, prog=prog, description=__doc__)
    done = export_demos(given.store, given.out, given.kind, build(given.ask))
    print(f"{done.path}: {done.num_episodes} episodes, {done.num_steps} steps, as {done.format}")
    for sentence in done.lost:
        print(f"  not kept: {as_flags(sentence)}")

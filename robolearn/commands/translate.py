"""Write a store whose images are translated; states, actions, episodes, their attributes and seeds stay as they are.

Ctrl-C keeps the finished episodes; the same command goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from robolearn.commands.episodes_bar import episodes_bar
from robolearn.commands.flags import read_flags
from robolearn.commands.stopping import goes_on
from robolearn.paths import url_of


@dataclass(frozen=True)
class Options:
    """Options of a translation."""

    store: Annotated[Positional[Path], arg(metavar="STORE")]
    """The demonstrations."""
    translator: Annotated[Positional[Path], arg(metavar="TRANSLATOR")]
    """Run of `translator`."""
    out: Path
    """Store to write, e.g. datasets/translated.zarr."""
    to: Literal["source", "target"] = "target"
    """Side of the translator that the images shall look like."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to translate."""
    threads: int | None = None
    """CPU threads; by default one per two cores, at most 4."""


def main(arguments: Sequence[str], prog: str) -> None:
    """Parse, translate, and say what the store holds."""
    given = read_flags(Options, arguments, prog, __doc__)
    from robolearn.data.store import DemoStore
    from robolearn.translation.apply import translate

    with goes_on(given.out), episodes_bar(DemoStore.open(given.store).num_episodes, lambda now: "") as show:
        options = {"to": given.to, "device": given.device, "threads": given.threads}
        store = translate(given.store, given.translator, given.out, **options, on_episode=show)
    print(f"{url_of(given.out)}: {store.num_episodes} episodes, {store.num_steps} steps")

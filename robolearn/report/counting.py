"""A progress bar that counts, and is gone when what it counts ends, however that ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress


@contextmanager
def counting(total: int, what: str, console: Console | None = None) -> Iterator[Callable[[], None]]:
    """Show how many of ``total`` are done; call what is yielded for each.

    The bar is drawn by a thread of its own. One that is left to the garbage collector, as an unfinished
    `rich.progress.track` is, may be ended from within that thread, which then waits for itself.

    Args:
        total: How many there are.
        what: What is counted, as a participle: "rolling out".
        console: Where to draw; by default the terminal.
    """
    with Progress(console=console) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)

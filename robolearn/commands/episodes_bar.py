"""The bar of a command that makes episodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

from robolearn.commands.progress import appearing


@runtime_checkable
class Stored(Protocol):
    """What is known of a store while it grows."""

    @property
    def stored(self) -> int:
        """Episodes in it."""
        ...

    @property
    def before(self) -> int:
        """Those of them that an earlier call made."""
        ...


@contextmanager
def episodes_bar(episodes: int, word: Callable[[Any], str]) -> Iterator[Callable[[Stored], None]]:
    """A bar of the episodes that are in the store, with their rate and a word; call what is yielded as it grows."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    text = TextColumn("{task.fields[text]}  eta")
    bar = Progress(TextColumn("episodes"), BarColumn(), MofNCompleteColumn(), text, TimeRemainingColumn())
    task = bar.add_task("episodes", total=episodes, text="")

    def show(now: Stored) -> None:
        appear()
        elapsed = bar.tasks[0].elapsed or 0.0
        rate = f"{(now.stored - now.before) / elapsed:.0f}/s  " if elapsed else ""
        bar.update(task, completed=now.stored, text=rate + word(now))

    with appearing(bar) as appear:
        yield show

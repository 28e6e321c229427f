"""How far a training is, for people."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

Record = dict[str, int | float]
QUIET = 20  # [s] between lines where there is no terminal


@contextmanager
def training_progress(steps: int, losses: Mapping[str, str]) -> Iterator[tuple[Callable[[Record], None], list[Record]]]:
    """A bar with losses; where there is no terminal, a line now and then. Gives the records too.

    Args:
        steps: Of the training.
        losses: What a loss is called -> its name in the records.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console, records, printed = Console(), [], time.monotonic()
    done, pace = TextColumn("step {task.completed:,.0f}/{task.total:,.0f}"), TextColumn("{task.fields[pace]}")
    columns = (done, BarColumn(), pace, TimeElapsedColumn(), TextColumn("eta"), TimeRemainingColumn())
    bar = Progress(*columns, console=console)
    task = bar.add_task("training", total=steps, pace="")

    def show(record: Record) -> None:
        nonlocal printed
        appear()
        records.append(record)
        text = "  ".join(f"{name} {record[key]:.4g}" for name, key in losses.items() if key in record)
        rate = f"  {record['steps_per_s']:.0f} steps/s" if "steps_per_s" in record else ""
        bar.update(task, completed=record["step"], pace=text + rate)
        if not console.is_terminal and time.monotonic() - printed > QUIET:
            printed = time.monotonic()
            console.print(f"step {record['step']:,.0f}/{steps:,}  {text}{rate}")

    with appearing(bar) as appear:
        yield show, records


@contextmanager
def appearing(bar: Progress) -> Iterator[Callable[[], None]]:
    """Draw a bar as soon as what is given is called: what is refused before is a line of its own, without a bar."""
    drawn = False

    def appear() -> None:
        nonlocal drawn
        drawn = True
        bar.start()

    try:
        yield appear
    finally:
        if drawn:
            bar.stop()

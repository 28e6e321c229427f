"""Ctrl-C and termination as a flag, so that a loop ends where everything is in order."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def stop_signal() -> Iterator[Callable[[], bool]]:
    """Turn SIGINT and SIGTERM into a flag that the loop reads; a second one ends the program at once."""
    received: list[int] = []
    kinds = (signal.SIGINT, signal.SIGTERM)

    def note(signum: int, frame: object) -> None:
        received.append(signum)
        for kind, handler in before.items():
            signal.signal(kind, handler)

    before = {kind: signal.getsignal(kind) for kind in kinds}
    for kind in kinds:
        signal.signal(kind, note)
    try:
        yield lambda: bool(received)
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)

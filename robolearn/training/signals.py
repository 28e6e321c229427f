"""Ctrl-C and termination as a flag, so that a loop ends where everything is in order.

A function that was stopped like this returns what there is. A command then ends with `stopped`, in the exit status of
the signal as every other command: what a shell would do next shall not begin with half a training.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_received: list[int] = []  # in the life of this process


def stopped() -> KeyboardInterrupt:
    """What a command raises that a signal has stopped, when everything is saved and said."""
    return KeyboardInterrupt(*_received[-1:])


@contextmanager
def passed_on() -> Iterator[None]:
    """Raise behind a block the signal that a loop in it has noted, so that what comes next does not begin.

    Also where the loop was at its last step, and has ended as if there had been none.
    """
    before = len(_received)
    yield
    if len(_received) > before:
        raise stopped()


@contextmanager
def stop_signal() -> Iterator[Callable[[], bool]]:
    """Turn SIGINT and SIGTERM into a flag that the loop reads; a second one ends the program at once.

    In a thread beside the main one, which alone may set handlers, signals do what they did before.
    """
    received: list[int] = []
    kinds = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()

    def note(signum: int, frame: object) -> None:
        received.append(signum)
        _received.append(signum)
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

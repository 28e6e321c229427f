"""Calls into a stranger's code that come back in time, or are given up."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

Answer = tuple[Any, BaseException | None]


class HungError(Exception):
    """A call took longer than it may."""


class Worker:
    """A thread that makes one call after another; the caller waits for each.

    What is made in a thread, such as a GL context, is used in that thread only. A call that hangs in native code cannot
    be stopped, only left behind: its thread is a daemon, which keeps no process from ending, and the worker takes no
    further calls. Native code that hangs and keeps Python's lock stops everything; no thread can see to that.

    Args:
        timeout: Seconds that a call may take.

    Attributes:
        lost: Whether a call has not come back, because it hung or because the wait for it was interrupted.
    """

    def __init__(self, timeout: float):
        self.timeout, self.lost = timeout, False
        self._calls: SimpleQueue[Callable[[], Any] | None] = SimpleQueue()
        self._answers: SimpleQueue[Answer] = SimpleQueue()
        self._thread = threading.Thread(target=_serve, args=(self._calls, self._answers), daemon=True)
        self._thread.start()

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function in the thread and return what it returns, or raise what it raises.

        Raises:
            HungError: It has not come back in time.
        """
        assert not self.lost, "the thread is still in an earlier call"
        self.lost = True  # until the answer is there; Ctrl-C may interrupt the wait
        self._calls.put(partial(function, *args, **kwargs))
        try:
            value, error = self._answers.get(timeout=self.timeout)
        except Empty:
            self._leave()
            raise HungError from None
        self.lost = False
        if error is not None:
            raise error
        return value

    def stop(self) -> None:
        """Let the thread end once it is free."""
        self._calls.put(None)

    def _leave(self) -> None:
        """Let the thread end if the call comes back, and end a loop in Python, which would slow all others down."""
        self.stop()
        ident = ctypes.c_ulong(self._thread.ident or 0)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(SystemExit))


def _serve(calls: SimpleQueue[Callable[[], Any] | None], answers: SimpleQueue[Answer]) -> None:
    for call in iter(calls.get, None):
        try:
            answer: Answer = call(), None
        except BaseException as error:  # also SystemExit, which would end this thread and leave the caller waiting
            answer = None, error
        answers.put(answer)
        del call, answer  # what was returned is not kept alive until the next call

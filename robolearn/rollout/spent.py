"""Where the time of a call goes: to which of its parts every moment by the clock belongs, so that they add up."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

PARTS = {
    "policy": "choosing actions, with scores and gate where there are some",
    "physics": "resets and steps of environments, with their observations and images",
    "bookkeeping": "what is remembered and kept of episodes, and their numbers",
    "elsewhere": "waiting for episodes that a cluster rolls out",
    "preparing": "opening the run, making, checking and closing environments",
    "latency": "timing single plans",
    "page": "comparing with demonstrations, videos, the page",
}


class TimeSpent:
    """Seconds by the clock, part by part.

    A part that begins within another one interrupts it: no moment counts twice.

    Attributes:
        seconds: Name of a part -> seconds so far.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._open: list[str] = []
        self._since = 0.0

    @contextmanager
    def on(self, part: str) -> Iterator[None]:
        """What happens inside belongs to this part."""
        self._account()
        self._open.append(part)
        try:
            yield
        finally:
            self._account()
            self._open.pop()

    def _account(self) -> None:
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] = self.seconds.get(self._open[-1], 0.0) + now - self._since
        self._since = now


def shares(seconds: Mapping[str, float]) -> dict[str, float]:
    """Part -> its share of all, in the order of PARTS."""
    total = sum(seconds.values()) or 1.0
    return {part: seconds[part] / total for part in PARTS if part in seconds}


def spent_line(seconds: Mapping[str, float]) -> str:
    """In a line, in the order of PARTS: "20.0 s: policy 15.0 s (75%), physics 5.0 s (25%)"."""
    parts = (f"{part} {seconds[part]:.1f} s ({share:.0%})" for part, share in shares(seconds).items())
    return f"{sum(seconds.values()):.1f} s: " + ", ".join(parts)

"""How busy the machine was while something was timed: how long threads that were ready to compute had no core.

Wall time above CPU time says nothing by itself: with a GPU a process waits for that, and with several threads CPU time
is above wall time. Waiting for a core is what other processes cost. Linux counts it for every thread (sched-stats.rst
in its documentation); elsewhere it is not known, and nothing is said.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BUSY = 0.1
"""Share of the time without a core from which on it is worth a word."""
THREADS = Path("/proc/self/task")


class CoreWait:
    """Watches from now on."""

    def __init__(self) -> None:
        self._before, self._started = waits(), time.perf_counter()

    def share(self) -> float | None:
        """Share of the time since then that the thread which waited most was without a core; None where not known."""
        after, seconds = waits(), time.perf_counter() - self._started
        if not self._before or not after or seconds <= 0:
            return None
        longest = max(waited - self._before.get(thread, 0) for thread, waited in after.items())
        return min(longest / 1e9 / seconds, 1.0)


def waits() -> dict[str, int]:
    """Thread of this process -> how long it has been ready without a core [ns]; empty where nobody counts."""
    wait_times = {}
    for path in THREADS.glob("*/schedstat"):
        try:
            on_core, waited, *_ = map(int, path.read_text("utf-8").split())
        except (OSError, ValueError):  # a thread that has ended meanwhile, or a system that tells something else
            continue
        if on_core:  # of a system that does not count, this is 0 as well
            wait_times[path.parent.name] = waited
    return wait_times


def busy_remark(times: Mapping[str, Any], what: str = "planning", prefix: str = "") -> str | None:
    """A sentence where times were measured on a busy machine.

    Args:
        times: `p50_ms`, `cpu_ms` and `waited` of `time_calls`; as far as they are there, since older files lack some.
        what: Was timed.
        prefix: Of the names.
    """
    wall, cpu, waited = (times.get(prefix + name) for name in ("p50_ms", "cpu_ms", "waited"))
    if wall is None or cpu is None or waited is None or waited < BUSY:
        return None
    return (
        f"measured on a busy machine: {what} took {wall:.3g} ms by the clock in the median, {cpu:.3g} ms of CPU time, "
        f"and all of it waited for a core {waited:.0%} of the time"
    )

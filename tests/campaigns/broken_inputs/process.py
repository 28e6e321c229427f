"""A command in a forked process, with a limit of time and a measure of its memory."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robolearn.errors import user_errors

LIMIT_S = 20
LIMIT_MB = 1024
BARRIER = 6 << 30  # of address space beside the parent's, so that a bomb does not take the machine


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit status, negative for a signal; what it said; what it did, None if it ended early."""

    status: int
    output: str
    error: str
    effect: Any
    seconds: float
    megabytes: float
    hangs: bool


def attempt(run: Callable[[Path], Any], target: Path, notes: Path) -> Ended:
    """Run a command on a target in a fork of this process, which has everything imported already.

    Args:
        run: What it does; returns its effect as JSON values.
        target: What it is done on.
        notes: Folder for what it says.
    """
    start = time.monotonic()
    (notes / "effect").unlink(missing_ok=True)
    pid = os.fork()
    if pid == 0:
        status = 70  # a defect
        try:
            status = _child(run, target, notes)
        finally:
            os._exit(status)
    hangs = False
    while (reaped := os.wait4(pid, os.WNOHANG))[0] == 0:
        if time.monotonic() > start + LIMIT_S:
            hangs = True
            os.kill(pid, signal.SIGKILL)
            reaped = os.wait4(pid, 0)
            break
        time.sleep(0.002)
    output, error, before = ((notes / name).read_text(errors="replace") for name in ("stdout", "stderr", "before"))
    effect = json.loads((notes / "effect").read_text()) if (notes / "effect").exists() else None
    status, peak = os.waitstatus_to_exitcode(reaped[1]), reaped[2].ru_maxrss / 1024
    return Ended(status, output, error, effect, time.monotonic() - start, peak - float(before), hangs)


def resident_mb() -> float:
    """Memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _child(run: Callable[[Path], Any], target: Path, notes: Path) -> int:
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(notes / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    (notes / "before").write_text(str(resident_mb()))
    space = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE") + BARRIER
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    try:
        with user_errors():
            effect = run(target)
        (notes / "effect").write_text(json.dumps(effect))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    return 0

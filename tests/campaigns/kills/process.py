"""A command in a forked process that is killed at a chosen operation on a file."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robolearn.errors import user_errors

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.truncate"}


@dataclass(frozen=True)
class Kill:
    """When a process is killed: at which operation on a file, how long after it [s], by which signal."""

    operation: int
    delay: float
    signum: int


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit status, negative for a signal, what it said, and what it had announced as finished."""

    status: int
    error: str
    announced: int
    operations: int


class Command:
    """A command in a forked process; the fork has everything imported already.

    Args:
        run: What it does.
        folder: Only operations below this folder count.
        kill: When it is killed; None for an undisturbed one.
    """

    def __init__(self, run: Callable[[Callable[[int], None]], None], folder: Path, kill: Kill | None = None):
        self.notes = Path(tempfile.mkdtemp(prefix="kills-"))
        self.pid = os.fork()
        if self.pid == 0:
            status = 70  # a defect
            try:
                status = self._child(run, folder, kill)
            finally:
                os._exit(status)

    def _child(self, run: Callable[[Callable[[int], None]], None], folder: Path, kill: Kill | None) -> int:
        out = os.open(self.notes / "stderr", os.O_WRONLY | os.O_CREAT)
        os.dup2(out, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        announced = os.open(self.notes / "announced", os.O_WRONLY | os.O_CREAT)
        counted = os.open(self.notes / "operations", os.O_WRONLY | os.O_CREAT)
        count = 0

        def announce(number: int) -> None:
            os.pwrite(announced, f"{number:9d}".encode(), 0)

        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal count
            if not (event in CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & 3)):
                return
            if not str(arguments[0]).startswith(str(folder)):
                return
            count += 1
            if kill is None:
                os.pwrite(counted, str(count).encode(), 0)
            elif count == kill.operation:
                if kill.delay == 0:
                    os.kill(os.getpid(), kill.signum)
                else:
                    threading.Timer(kill.delay, os.kill, (os.getpid(), kill.signum)).start()

        sys.addaudithook(watch)
        try:
            with user_errors():
                run(announce)
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
            return 1
        return 0

    def wait(self, limit: float = 240) -> Ended:
        """Wait for its end; one that hangs is killed and counts as a defect."""
        deadline = time.monotonic() + limit
        while (reaped := os.waitpid(self.pid, os.WNOHANG))[0] == 0:
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                return Ended(-99, "hangs", 0, 0)
            time.sleep(0.005)
        texts = {p.name: p.read_text(errors="replace") for p in self.notes.iterdir()}
        shutil.rmtree(self.notes)
        status = os.waitstatus_to_exitcode(reaped[1])
        return Ended(status, texts["stderr"], int(texts["announced"] or 0), int(texts["operations"] or 0))

"""Member of an ensemble, trained in a process of its own: python -m robolearn.training.member, started by members.py.

The first line of its input says what to train. When the input ends, because it is to stop or because the process that
started it is gone, it saves and ends.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from robolearn.errors import user_errors
from robolearn.training.members import STOPPED, read_order
from robolearn.training.run import Run
from robolearn.training.train import train


def stop_with_the_input() -> None:
    """Wait until the input ends, then stop as after a SIGTERM."""
    while os.read(0, 1):  # not sys.stdin, whose lock a thread must not hold when the program ends
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    """Train the member that the input names; returns the exit status."""
    order = sys.stdin.readline()
    threading.Thread(target=stop_with_the_input, daemon=True).start()
    return 0 if train_member(order) else STOPPED


def train_member(order: str) -> bool:
    """Go on from the last checkpoint of a member's run, or begin it; returns whether it is complete."""
    cfg, changed_data = read_order(order)
    assert cfg.out is not None, "a member is told where to be"
    run = Run(cfg.out)
    run.clear_unfinished()
    train(cfg, resume=run.exists(), changed_data=changed_data, trust=True)  # who started it has checked the environment
    return run.is_complete()


if __name__ == "__main__":
    with user_errors():
        status = main()
    sys.exit(status)

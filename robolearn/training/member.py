"""Member of an ensemble, trained in a process of its own: python -m robolearn.training.member, started by members.py.

The first line of its input says what to train. When the input ends, because it is to stop or because the process that
started it is gone, it saves and ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from dataclasses import dataclass

from robolearn.config import from_json
from robolearn.errors import user_errors
from robolearn.locks import hold
from robolearn.policies.registry import REGISTRY, BackboneConfig, FamilyConfig
from robolearn.training.assemble import assemble
from robolearn.training.config import TrainConfig
from robolearn.training.device import Processes, choose_device
from robolearn.training.episodes import Kept
from robolearn.training.fit import fit
from robolearn.training.run import Run
from robolearn.training.session import Session

STOPPED = 128 + signal.SIGTERM  # exit status of a member that saved before it was through


@dataclass(frozen=True)
class Order:
    """What to train; ``train.out`` is where."""

    train: TrainConfig
    family: FamilyConfig
    backbone: BackboneConfig
    changed_data: bool = False
    """Whether it may go on although the demonstrations have changed."""


def train_member(order: Order) -> bool:
    """Train from the last checkpoint in its directory, or from the beginning where there is none.

    Returns:
        Whether it is complete; False after SIGINT or SIGTERM.
    """
    directory, cfg = order.train.out, order.train
    assert directory is not None, "a member is told where to be"
    device = choose_device(cfg.device, threads=cfg.threads)
    run = Run(directory)
    run.clear_unfinished()
    with hold(directory):
        step = run.last_step()
        kept = Kept(run.data(), step or 0, order.changed_data) if run.exists() else None
        cfg, state, windows, validation, data = assemble(
            cfg, order.family, order.backbone, device, resumes=step is not None, kept=kept
        )
        if step is not None:
            run.restore(state)
        if kept is None:
            Run.create(directory, cfg, data, order.family, order.backbone)
        run.write(cfg, data)
        with Session(run, state, data) as session:
            return fit(state, windows, validation, Processes(device), session)


def stop_with_the_input() -> None:
    """Wait until the input ends, then stop as after a SIGTERM."""
    while os.read(0, 1):  # not sys.stdin, whose lock a thread must not hold when the program ends
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    with user_errors():
        order = from_json(Order, json.loads(sys.stdin.readline()), REGISTRY)
        threading.Thread(target=stop_with_the_input, daemon=True).start()
        complete = train_member(order)
    sys.exit(0 if complete else STOPPED)

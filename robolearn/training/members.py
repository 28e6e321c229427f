"""Trains the members of an ensemble beside the first, each in a process of its own, as many at once as pay off.

    RUN                   member 0, a run like any other
    RUN/members/1 ...     the others, with seed + i on a bootstrap of the training episodes; the same are held out

A step of the default policy costs the same CPU time alone and beside another, and many times that with more threads on
busy cores: benchmarks/ensembles.py, docs/results/ensembles.json.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from typing import IO

import torch

from robolearn.config import to_json
from robolearn.policies.registry import REGISTRY, BackboneConfig, FamilyConfig
from robolearn.training.config import TrainConfig
from robolearn.training.fit import stop_signal
from robolearn.training.member import STOPPED, Order
from robolearn.training.run import Run


def num_parallel(device: torch.device) -> int:
    """Members that train at once: on a CPU as many as find their threads a core each, on a GPU one."""
    return 1 if device.type == "cuda" else max(1, len(os.sched_getaffinity(0)) // torch.get_num_threads())


def make_order(
    run: Run, cfg: TrainConfig, family: FamilyConfig, backbone: BackboneConfig, index: int, changed_data: bool = False
) -> Order:
    """What member ``index`` >= 1 of a run trains; it has no logger of its own but metrics.jsonl."""
    split_seed = cfg.seed if cfg.dataset.split_seed is None else cfg.dataset.split_seed
    dataset = dataclasses.replace(cfg.dataset, bootstrap=True, split_seed=split_seed)
    member = dataclasses.replace(
        cfg, dataset=dataset, seed=cfg.seed + index, num_members=1, out=run.member(index), wandb=False
    )
    return Order(member, family, backbone, changed_data)


class Members:
    """The members of a run but the first, which its user trains meanwhile; leaving the context stops them.

    Args:
        run: The first member.
        cfg: Its options; ``num_members`` of them all.
        family: To be trained.
        backbone: Its network.
        parallel: Members that may train at once, the first included.
        changed_data: Whether they may go on although the demonstrations have changed.
    """

    def __init__(
        self,
        run: Run,
        cfg: TrainConfig,
        family: FamilyConfig,
        backbone: BackboneConfig,
        parallel: int,
        changed_data: bool = False,
    ):
        self.run = run
        self._trained, self._failures = set[int](), dict[int, str]()
        self._slots = threading.Semaphore(parallel - 1)
        self._lock, self._stopping = threading.Lock(), False
        self._inputs: list[IO[str]] = []
        self._threads = [
            threading.Thread(
                target=self._train, args=(index, make_order(run, cfg, family, backbone, index, changed_data))
            )
            for index in range(1, cfg.num_members)
        ]

    def __enter__(self) -> Members:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._slots.release()
        for thread in self._threads:
            thread.join()

    def stop(self) -> None:
        """Let those that run save and end, and start no more."""
        with self._lock:
            self._stopping = True
            for pipe in self._inputs:
                pipe.close()

    def finish(self) -> bool:
        """Give the first member's place to another and wait for all; SIGINT and SIGTERM stop them.

        Returns:
            Whether all are complete; False after a signal.

        Raises:
            ValueError: Some failed.
        """
        self._slots.release()
        with stop_signal() as stopped:
            for thread in self._threads:
                while thread.is_alive():
                    thread.join(0.2)
                    if stopped():
                        self.stop()
        if self._failures:
            reasons = "; ".join(f"member {index}: {reason}" for index, reason in sorted(self._failures.items()))
            raise ValueError(f"{reasons}; go on: python train.py --resume {self.run.directory}")
        return len(self._trained) == len(self._threads)

    def _train(self, index: int, order: Order) -> None:
        """Wait for a place, and for the process."""
        with self._slots, tempfile.TemporaryFile("w+") as errors:
            process = self._start(order, errors)
            status = process.wait() if process else STOPPED
            if status == 0:
                self._trained.add(index)
                print(f"member {index}: trained: {order.train.out}")
            elif status not in (STOPPED, -signal.SIGTERM):
                errors.seek(0)
                self._note_failure(index, status, errors.read())

    def _start(self, order: Order, errors: IO[str]) -> subprocess.Popen[str] | None:
        with self._lock:
            if self._stopping:
                return None
            process = subprocess.Popen(
                [sys.executable, "-m", "robolearn.training.member"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                text=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                start_new_session=True,  # Ctrl-C reaches the first member alone, which tells the others once
            )
            assert process.stdin is not None
            self._inputs.append(process.stdin)
            process.stdin.write(json.dumps(to_json(order, REGISTRY)) + "\n")
            process.stdin.flush()
            return process

    def _note_failure(self, index: int, status: int, errors: str) -> None:
        lines = errors.strip().splitlines()
        if status != 2:  # a defect: keep its traceback
            sys.stderr.write(errors)
        self._failures[index] = lines[-1].removeprefix("error: ") if lines else f"ended with status {status}"
        print(f"member {index} failed; the others go on")

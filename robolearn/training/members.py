"""Trains the members of an ensemble beside the first, each in a process of its own, as many at once as pay off.

    RUN                   member 0, a run like any other
    RUN/members/1 ...     the others, with seed + i on a bootstrap of the training episodes; the same are held out

A step of the default policy costs the same CPU time alone and beside another, and many times that with more threads on
busy cores: benchmarks/ensembles.py, docs/results/ensembles.json.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import torch

from robolearn.config import from_json, to_json
from robolearn.errors import UnfinishedError
from robolearn.policies.registry import BACKBONES, FAMILIES, REGISTRY
from robolearn.training.config import TrainConfig
from robolearn.training.run import Run
from robolearn.training.signals import stop_signal

STOPPED = 128 + signal.SIGTERM  # exit status of a member that saved before it was through


def num_parallel(device: torch.device) -> int:
    """Members that train at once: on a CPU as many as find their threads a core each, on a GPU one."""
    return 1 if device.type == "cuda" else max(1, len(os.sched_getaffinity(0)) // torch.get_num_threads())


def member_config(cfg: TrainConfig, index: int) -> TrainConfig:
    """What member ``index`` >= 1 of a run in ``cfg.out`` trains; it has no logger of its own but metrics.jsonl."""
    assert cfg.out is not None
    split_seed = cfg.seed if cfg.dataset.split_seed is None else cfg.dataset.split_seed
    return dataclasses.replace(
        cfg,
        dataset=dataclasses.replace(cfg.dataset, bootstrap=True, split_seed=split_seed),
        seed=cfg.seed + index,
        num_members=1,
        out=Run(cfg.out).member(index),
        wandb=False,
    )


def write_order(cfg: TrainConfig, changed_data: bool) -> str:
    """What a member trains as one line of JSON, and where the classes are from that a user has registered."""
    outside = {
        table: {name: [cls.__module__, cls.__qualname__] for name, cls in classes.items() if is_outside(cls)}
        for table, classes in (("family", FAMILIES), ("backbone", BACKBONES))
    }
    return json.dumps({"config": to_json(cfg, REGISTRY), "changed_data": changed_data, "outside": outside})


def is_outside(cls: type) -> bool:
    """Whether a class is not one of this package's own."""
    return cls.__module__.partition(".")[0] != __name__.partition(".")[0]


def read_order(line: str) -> tuple[TrainConfig, bool]:
    """What `write_order` wrote, its classes registered."""
    order = json.loads(line)
    for table, classes in (("family", FAMILIES), ("backbone", BACKBONES)):
        for name, (module, cls) in order["outside"][table].items():
            classes[name] = getattr(importlib.import_module(module), cls)
    return from_json(TrainConfig, order["config"], REGISTRY), order["changed_data"]


def check_none_failed(failures: Mapping[int, str], cfg: TrainConfig) -> None:
    """Say of a run which members failed, and why.

    Raises:
        UnfinishedError: Some did.
    """
    if failures:
        reasons = "; ".join(f"member {index}: {reason}" for index, reason in sorted(failures.items()))
        assert cfg.out is not None
        raise UnfinishedError(reasons, Path(cfg.out))


class Members:
    """The members of a run but the first, which its user trains meanwhile; leaving the context stops them.

    Args:
        cfg: What the first one trains, and where; ``num_trained`` of them all.
        parallel: Members that may train at once, the first included.
        changed_data: Whether they may go on although the demonstrations have changed.
    """

    def __init__(self, cfg: TrainConfig, parallel: int, changed_data: bool = False):
        self.cfg, self.changed_data = cfg, changed_data
        self._trained, self._failures = set[int](), dict[int, str]()
        self._slots = threading.Semaphore(parallel - 1)
        self._lock, self._stopping = threading.Lock(), False
        self._inputs: list[IO[str]] = []
        self._threads = [threading.Thread(target=self._train, args=(index,)) for index in range(1, cfg.num_trained)]

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
            UserError: Some failed.
        """
        self._slots.release()
        with stop_signal() as stopped:
            for thread in self._threads:
                while thread.is_alive():
                    thread.join(0.2)
                    if stopped():
                        self.stop()
        check_none_failed(self._failures, self.cfg)
        return len(self._trained) == len(self._threads)

    def _train(self, index: int) -> None:
        """Wait for a place, and for the process."""
        cfg = member_config(self.cfg, index)
        with self._slots, tempfile.TemporaryFile("w+") as errors:
            process = self._start(cfg, errors)
            status = process.wait() if process else STOPPED
            if status == 0:
                self._trained.add(index)
                print(f"member {index}: trained: {cfg.out}")
            elif status not in (STOPPED, -signal.SIGTERM):
                errors.seek(0)
                self._note_failure(index, status, errors.read())

    def _start(self, cfg: TrainConfig, errors: IO[str]) -> subprocess.Popen[str] | None:
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
            process.stdin.write(write_order(cfg, self.changed_data) + "\n")
            process.stdin.flush()
            return process

    def _note_failure(self, index: int, status: int, errors: str) -> None:
        lines = errors.strip().splitlines()
        if status != 2:  # a defect: keep its traceback
            sys.stderr.write(errors)
        self._failures[index] = lines[-1].removeprefix("error: ") if lines else f"ended with status {status}"
        print(f"member {index} failed; the others go on")

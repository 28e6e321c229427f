"""Units of work with what they need, done by processes of one thread each, most urgent first.

What is done is not done again: a unit's product is looked for first. A unit that fails keeps those that need it from
being done, and nothing else.
"""

from __future__ import annotations

import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.safety.raw import save_unit, unit_path
from benchmarks.safety.study import Study
from robolearn.report.facts import machine_facts


@dataclass(frozen=True)
class Unit:
    """A unit of work.

    Attributes:
        name: PART/... .
        work: Does it; what it returns is kept as raw episodes, if anything.
        needs: Names of units that come first.
        product: What is there once it is done; by default its raw episodes.
        device: Where a training happens.
    """

    name: str
    work: Callable[[Study], dict[str, Any] | None]
    needs: tuple[str, ...] = ()
    product: Path | None = None
    device: str = "cpu"

    def done(self, study: Study) -> bool:
        """Whether it was done before."""
        return (self.product or unit_path(study.root, self.name)).exists()


def do_units(study: Study, units: Sequence[Unit], workers: int) -> list[str]:
    """Do units, in their order as far as what they need allows.

    Args:
        study: Sizes and places.
        units: Most urgent first; what they need is among them or done.
        workers: Processes side by side.

    Returns:
        Those that failed or could not be tried.
    """
    waiting = {unit.name: unit for unit in units if not unit.done(study)}
    running: dict[Future[float], str] = {}
    failed: list[str] = []
    made = made_on()
    context = multiprocessing.get_context("spawn")
    cores: Any = context.Queue()
    available = sorted(os.sched_getaffinity(0))
    for index in range(workers):
        cores.put(available[index % len(available)])
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(cores,)) as pool:
        while waiting or running:
            for name, unit in list(waiting.items()):
                if any(need in failed for need in unit.needs):
                    failed.append(waiting.pop(name).name)
                elif len(running) < workers and not any(n in waiting or n in running.values() for n in unit.needs):
                    running[pool.submit(_do, study, waiting.pop(name), made)] = name
            if not running:
                continue
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name = running.pop(future)
                if (error := future.exception()) is None:
                    print(f"{future.result():5.0f} s  {name}  ({len(waiting) + len(running)} to go)", flush=True)
                else:
                    failed.append(name)
                    print(f"failed: {name}\n{''.join(traceback.format_exception(error))}", flush=True)
    return failed


def made_on() -> str:
    """Commit and hardware, as the page names them."""
    facts = machine_facts("cpu")
    return f"commit {facts['commit']}, {facts['hardware']}, {facts['versions']}"


def _begin(cores: Any) -> None:
    """One core and one thread for each process, its environments and its trainings."""
    os.sched_setaffinity(0, {cores.get()})
    torch.set_num_threads(1)


def _do(study: Study, unit: Unit, made: str) -> float:
    started = time.perf_counter()
    if (contents := unit.work(study)) is not None:
        save_unit(study.root, unit.name, {**contents, "made": made})
    return time.perf_counter() - started

"""What training a row costs, in CPU time of the reference row: the numbers behind equal compute.

A row trains for n steps in start + n * step seconds. `start` is what the family does when a player begins, such as
sampling a teacher, and is timed by itself. A step is the slope between two short trainings of different length, which
alternate with the reference row's, so that whatever else the machine does strikes both.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from robolearn.bench.rows import REFERENCE, ROWS, Cost, Row, Task
from robolearn.bench.training import prepare
from robolearn.config import write_json
from robolearn.report.facts import command_facts
from robolearn.training.assemble import assemble, open_demos
from robolearn.training.device import Processes
from robolearn.training.fit import Hooks, fit

Seconds = tuple[float, float]
"""At the beginnings of players, and in the steps."""
STEPS = (150, 450)
REPEATS = 5
COST = "cost.json"


@dataclass(frozen=True)
class MeasuredCost:
    """CPU time of a row on a task.

    Attributes:
        step_s: Seconds per optimizer step.
        start_s: Seconds beside the steps.
        cost: Both in steps of the reference row; what `rows.py` should say.
        seconds: Row -> steps -> repetition -> seconds at the beginnings of players, and in the steps.
    """

    step_s: float
    start_s: float
    cost: Cost
    seconds: dict[str, dict[str, list[Seconds]]]


def measure_cost(task: Task, row: Row, data: Path, device: torch.device) -> MeasuredCost:
    """Time short trainings of a row, each beside one of the reference row; medians over the repetitions."""
    reference = next(r for r in ROWS if r.name == REFERENCE)
    seconds: dict[str, dict[str, list[Seconds]]] = {r.name: {str(n): [] for n in STEPS} for r in (row, reference)}
    for _ in range(REPEATS):
        for r, steps in itertools.product((row, reference), STEPS):
            seconds[r.name][str(steps)].append(training_seconds(task, r, steps, data, device))
    short, long = (np.median(times, axis=0) for times in seconds[row.name].values())
    unit_short, unit_long = (np.median(times, axis=0) for times in seconds[REFERENCE].values())
    step, unit = (float(b[1] - a[1]) / (STEPS[1] - STEPS[0]) for a, b in ((short, long), (unit_short, unit_long)))
    start = float(short[0] + long[0] - unit_short[0] - unit_long[0]) / 2
    return MeasuredCost(step, start, Cost(step / unit, start / unit), seconds)


def cost_name(task: str, row: str) -> str:
    """Where a cost is kept below RUNS."""
    return f"{task}/{row}/{COST}"


def keep_cost(task: Task, row: Row, data: Path, runs: Path, device: torch.device) -> str:
    """Measure a cost and write it below RUNS; return a line that says what came out."""
    measured, path = measure_cost(task, row, data, device), runs / cost_name(task.name, row.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {**dataclasses.asdict(measured), "facts": command_facts(str(device))})
    step, start = measured.cost.step, measured.cost.start
    return f"{task.name} {row.name}: a step costs {step:.3f} of {REFERENCE}'s, the start {start:.0f} of them"


def training_seconds(task: Task, row: Row, steps: int, data: Path, device: torch.device) -> Seconds:
    """CPU time of a training of this many steps; wall time where another device does the work.

    Raises:
        KeyboardInterrupt: Ctrl-C or a termination, which the training takes for a request to save and stop.
    """
    cfg = dataclasses.replace(prepare(task.options(row), data), steps=steps, warmup_steps=1, checkpoint_every=steps)
    _, state, windows, _, _ = assemble(cfg, open_demos(cfg), device)
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    family: Any = state.policy.family
    begin, beginning = family.begin, 0.0

    def timed(*args: Any, **kwargs: Any) -> None:
        nonlocal beginning
        started = clock()
        begin(*args, **kwargs)
        beginning += clock() - started

    family.begin = timed
    started = clock()
    if not fit(state, windows, None, Processes(device), Hooks()):
        raise KeyboardInterrupt
    return beginning, clock() - started - beginning

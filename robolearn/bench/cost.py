"""What training a row costs, in CPU time of the reference row: the numbers behind equal compute.

A row trains for n steps in start + n * step seconds; `start` is what does not grow with n, such as sampling a
teacher. Two short trainings of different length, alternating with the reference row's, tell the two apart.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from robolearn.bench.rows import REFERENCE, ROWS, Row, Task
from robolearn.bench.training import assemble, prepare
from robolearn.training.device import Processes
from robolearn.training.fit import Hooks, fit

STEPS = (150, 450)
REPEATS = 3


@dataclass(frozen=True)
class Cost:
    """CPU time of a row on a task.

    Attributes:
        row: Its name.
        step_s: Seconds per optimizer step.
        start_s: Seconds beside the steps, at least 0.
        step_cost: Seconds per step in those of the reference row; what `Row.step_cost` should be.
        start_cost: Seconds beside the steps, in steps of the reference row.
    """

    row: str
    step_s: float
    start_s: float
    step_cost: float
    start_cost: float


def measure_cost(task: Task, row: Row, data: Path, device: torch.device) -> Cost:
    """Time short trainings of a row, each beside one of the reference row; medians over the repetitions."""
    reference = next(r for r in ROWS if r.name == REFERENCE)
    seconds = {
        (r.name, steps): np.median([training_seconds(task, r, steps, data, device) for _ in range(REPEATS)])
        for steps in STEPS
        for r in (row, reference)
    }
    short, long = STEPS
    step = float(seconds[row.name, long] - seconds[row.name, short]) / (long - short)
    unit = float(seconds[REFERENCE, long] - seconds[REFERENCE, short]) / (long - short)
    start = max(0.0, float(seconds[row.name, short]) - short * step - float(seconds[REFERENCE, short]) + short * unit)
    return Cost(row.name, step, start, step / unit, start / unit)


def training_seconds(task: Task, row: Row, steps: int, data: Path, device: torch.device) -> float:
    """CPU time [s] of a training of this many steps; wall time where another device does the work."""
    cfg = dataclasses.replace(prepare(task.train, data), steps=steps, warmup_steps=1, checkpoint_every=steps)
    _, state, windows, _, _ = assemble(cfg, row.family, task.backbone, device)
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    started = clock()
    fit(state, windows, None, Processes(device), Hooks())
    return clock() - started

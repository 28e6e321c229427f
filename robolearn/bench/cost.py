"""What training a row costs, in CPU time of the reference row: the numbers behind equal compute.

A row trains for n steps in start + n * step seconds. `start` is what the family does when a player begins, such as
sampling a teacher, and is timed by itself. The steps are those of a short training, which takes turns with the
reference row's step by step, so that whatever else the machine does strikes both.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from robolearn.bench.rows import REFERENCE, ROWS, Cost, Row, Task
from robolearn.bench.training import prepare
from robolearn.config import write_json
from robolearn.data.ahead import Ahead
from robolearn.files import check_writable
from robolearn.report.facts import command_facts
from robolearn.training.assemble import assemble, open_demos
from robolearn.training.device import Processes
from robolearn.training.examples import begin
from robolearn.training.step import advance, joint_loss

STEPS = 400
REPEATS = 3
COST = "cost.json"


@dataclass
class Seconds:
    """Of a training, see `clock`."""

    start: float = 0.0
    """At the beginnings of players."""
    steps: float = 0.0
    """In its steps."""


@dataclass(frozen=True)
class MeasuredCost:
    """CPU time of a row on a task.

    Attributes:
        step_s: Seconds per optimizer step.
        start_s: Seconds beside the steps.
        cost: Both in steps of the reference row; what `rows.py` should say.
        seconds: Row -> repetition -> what its training took.
    """

    step_s: float
    start_s: float
    cost: Cost
    seconds: dict[str, list[Seconds]]


def measure_cost(task: Task, row: Row, data: Path, device: torch.device) -> MeasuredCost:
    """Time short trainings of a row, each beside one of the reference row; medians over the repetitions."""
    reference = next(r for r in ROWS if r.name == REFERENCE)
    pairs = [training_seconds(task, (row, reference), data, device) for _ in range(REPEATS)]
    step, start = (float(np.median([getattr(ours, part) for ours, _ in pairs])) for part in ("steps", "start"))
    ratio = float(np.median([ours.steps / theirs.steps for ours, theirs in pairs]))
    unit = float(np.median([theirs.steps for _, theirs in pairs])) / STEPS
    more = float(np.median([ours.start - theirs.start for ours, theirs in pairs]))
    seconds = {r.name: [pair[i] for pair in pairs] for i, r in enumerate((row, reference))}
    return MeasuredCost(step / STEPS, start, Cost(ratio, more / unit), seconds)


def cost_name(task: str, row: str) -> str:
    """Where a cost is kept below RUNS."""
    return f"{task}/{row}/{COST}"


def keep_cost(task: Task, row: Row, data: Path, runs: Path, device: torch.device) -> str:
    """Measure a cost and write it below RUNS; return a line that says what came out."""
    path = runs / cost_name(task.name, row.name)
    check_writable(path)  # and not behind the measurement
    measured = measure_cost(task, row, data, device)
    write_json(path, {**dataclasses.asdict(measured), "facts": command_facts(str(device))})
    step, start = measured.cost.step, measured.cost.start
    return f"{task.name} {row.name}: a step costs {step:.3f} of {REFERENCE}'s, the start {start:.0f} of them"


def training_seconds(
    task: Task, rows: Sequence[Row], data: Path, device: torch.device, num_steps: int = STEPS
) -> tuple[Seconds, ...]:
    """Time a training of so many steps of each row, all in turn."""
    trainings = [_training(task, row, num_steps, data, device) for row in rows]
    *_, seconds = zip(*trainings, strict=True)
    return seconds


def _training(task: Task, row: Row, num_steps: int, data: Path, device: torch.device) -> Iterator[Seconds]:
    """Make a step at a time, and say what all of them have taken."""
    options, processes = prepare(task.options(row), data), Processes(device)
    cfg = dataclasses.replace(options, steps=num_steps, warmup_steps=1)
    _, state, windows, _, _ = assemble(cfg, open_demos(cfg), device)
    loss_of, share = joint_loss(state, processes), processes.share(cfg.batch_size)
    seconds = Seconds()
    with Ahead(windows) as ahead:
        while state.step < num_steps:
            before = clock(device)
            begin(state, windows, resumed=False)
            begun = clock(device)
            advance(state, loss_of, ahead, share)
            seconds.start += begun - before
            seconds.steps += clock(device) - begun
            yield seconds


def clock(device: torch.device) -> float:
    """CPU time; where another device does the work the time of day, once it is done [s]."""
    if device.type == "cpu":
        return time.process_time()
    torch.accelerator.synchronize(device)
    return time.perf_counter()

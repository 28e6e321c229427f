"""Work through rows, seeds and budgets: train, measure, write down; again and again until nothing is missing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from robolearn import seeds
from robolearn.bench.beforehand import check_before, check_same_data
from robolearn.bench.heldout import HeldOut
from robolearn.bench.kept import NOTHING, Kept
from robolearn.bench.measuring import demonstrated_modes, measure
from robolearn.bench.rows import BUDGETS, Row, Task
from robolearn.bench.summary import summarize_trainings
from robolearn.bench.training import train_unit, training_facts
from robolearn.bench.unit import Unit
from robolearn.errors import UserError
from robolearn.mapper import Mapper
from robolearn.nets.threads import needs_of
from robolearn.report.facts import command_facts
from robolearn.rollout.busy import busy_remark
from robolearn.training.fit import DivergedError
from robolearn.training.run import Run
from robolearn.training.signals import passed_on

TRAINING_SHARE = 0.8  # of the bar of a unit; the rest is measuring


def make_units(
    tasks: Sequence[Task],
    rows: Sequence[Row],
    budgets: Sequence[str],
    trainings: Sequence[int],
    runs: Path,
    kept: Kept = NOTHING,
) -> list[Unit]:
    """Every combination, of the training seeds given or of as many as a task asks for.

    All rows of one seed come before the next seed, so that early results compare rows.

    Raises:
        UserError: A budget is unknown.
    """
    for budget in budgets:
        if budget not in BUDGETS:
            raise UserError(f"unknown budget {budget!r}; choose from {', '.join(BUDGETS)}")
    return [
        Unit(task, row, budget, seed, runs, kept)
        for task in tasks
        for budget, seed, row in itertools.product(budgets, trainings or seeds.TRAININGS[: task.num_seeds], rows)
    ]


def work(units: Sequence[Unit], data: Path, device: torch.device, mapper: Mapper | None = None) -> list[Unit]:
    """Do whatever is missing, one unit after the other, or as many at once as there is room for elsewhere.

    Args:
        units: All of the grid.
        data: Folder that holds the demonstrations.
        device: Where to train and sample.
        mapper: Where units are done, see `open_cluster`; by default here. All see the same folders.

    Returns:
        Units that another process is working on.

    Raises:
        UserError: There is nothing to compare by or at, a unit was trained on other demonstrations, one fails, or a
            machine does not see the folders.
        KeyboardInterrupt: Ctrl-C or a termination; finished units and the last checkpoint are kept.
    """
    todo, busy = [unit for unit in units if unit.missing()], []
    check_same_data(units, data)
    check_before(todo, data)
    before = len(units) - len(todo)
    with _progress() as bar:
        shown = bar.add_task("", total=len(units), completed=before)
        show = lambda done, name: bar.update(shown, completed=before + done, description=name)  # noqa: E731
        here = _work_here(todo, data, device, show)
        with closing(here if mapper is None else _work_elsewhere(todo, data, device, mapper)) as lines:
            for number, (unit, line) in enumerate(lines, start=before + 1):
                if line is None:
                    busy.append(unit)
                elif line:
                    bar.console.print(line, highlight=False, soft_wrap=True)
                bar.update(shown, completed=number)
    return busy


def _progress() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.1f}/{task.total:.0f} rows "),
        TimeElapsedColumn(),
        TextColumn("eta"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    return Progress(*columns, console=Console(), speed_estimate_period=600)


Lines = Generator[tuple[Unit, str | None]]
"""A unit, and what came out: nothing where it was finished before, None where another process works on it."""


def _work_here(todo: Sequence[Unit], data: Path, device: torch.device, show: Callable[[float, str], Any]) -> Lines:
    for done, unit in enumerate(todo):
        show(done, unit.name)
        yield unit, claimed(unit, data, device, lambda share, done=done, unit=unit: show(done + share, unit.name))


def _work_elsewhere(todo: Sequence[Unit], data: Path, device: torch.device, mapper: Mapper) -> Lines:
    if not todo:
        return
    stores = {data / path for unit in todo for path in unit.task.train.dataset.paths}
    for runs in {unit.runs for unit in todo}:
        mapper.check_shared(runs, stores)
    with closing(mapper.map(_claimed, (data, str(device)), [unit.alone() for unit in todo], needs_of(device))) as jobs:
        for number, line in jobs:
            yield todo[number], line


def _claimed(common: tuple[Path, str], unit: Unit) -> str | None:
    data, device = common
    return claimed(unit, data, torch.device(device), lambda _: None)


def claimed(unit: Unit, data: Path, device: torch.device, advance: Callable[[float], Any]) -> str | None:
    """`complete` a unit unless another process works on it, then None; or it is finished, then nothing."""
    with unit.claim() as is_mine:
        if not is_mine:
            return None
        # It may have been finished since the list was made.
        return complete(unit, data, device, advance) if unit.missing() else ""


def complete(unit: Unit, data: Path, device: torch.device, advance: Callable[[float], Any]) -> str:
    """Train a claimed unit and measure the settings that are missing; return a line that says what came out."""
    steps, facts = unit.request().steps, command_facts(str(device))
    try:
        with passed_on():
            train_unit(unit, data, device, lambda step: advance(TRAINING_SHARE * step / steps))
    except DivergedError as error:
        unit.write({"failed": str(error), "facts": facts})
        return f"{unit.name}: failed: {error}"
    run, missing = Run.open(unit.directory / "run"), unit.missing()
    result = {**unit.result(), "training": training_facts(unit), "modes": demonstrated_modes(run)}
    held_out = HeldOut.from_run(run, device)
    for number, setting in enumerate(unit.row.settings):
        if setting.name in missing:
            measured = measure(unit.task, run, setting, held_out, device) | {"facts": facts}
            # One setting after the other: what was measured stays if the next one is stopped.
            result["settings"] = {**result.get("settings", {}), setting.name: measured}
            unit.write(result)
        advance(TRAINING_SHARE + (1 - TRAINING_SHARE) * (number + 1) / len(unit.row.settings))
    return _line(unit, result)


def _line(unit: Unit, result: dict[str, Any]) -> str:
    parts = [f"{unit.name}: {result['training']['steps']} steps, {result['training']['cpu_s']:.0f} CPU-s"]
    for name, measured in result["settings"].items():
        numbers = summarize_trainings([measured], result["modes"])
        values = {"success": numbers.success, "entropy": numbers.mode_entropy, "score": numbers.score}
        shown = ", ".join(f"{key} {value.value:.3f}" for key, value in values.items() if value is not None)
        parts.append(f"{name} (nfe {measured['nfe']}, {measured['p50_ms']:.1f} ms): {shown}")
        if busy := busy_remark(measured):
            parts.append(busy)
    return "\n  ".join(parts)

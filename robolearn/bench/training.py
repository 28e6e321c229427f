"""Train one unit without a word on the terminal: resumable, and with an account of the time it takes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from robolearn.bench.unit import Unit
from robolearn.config import read_json, write_json
from robolearn.training.assemble import assemble, open_demos
from robolearn.training.config import TrainConfig
from robolearn.training.device import Processes
from robolearn.training.episodes import Kept
from robolearn.training.fit import Hooks, Record, fit
from robolearn.training.logger import MetricsFile
from robolearn.training.run import Run
from robolearn.training.state import TrainState

CHECKPOINT_EVERY = 2_000
LOG_EVERY = 100


class Accounted(Hooks):
    """Saves, writes metrics.jsonl and keeps the time: the time of a part that a kill throws away does not count.

    Args:
        unit: What is trained.
        run: Its run.
        state: At the step from which it goes on.
        on_step: Called with the step now and then.
    """

    def __init__(self, unit: Unit, run: Run, state: TrainState, on_step: Callable[[int], Any]):
        self.run, self.on_step = run, on_step
        self.path = unit.directory / "seconds.json"
        self.seconds: dict[str, list[float]] = {"0": [0.0, 0.0]}
        if state.step:
            self.seconds = {step: used for step, used in read_json(self.path).items() if int(step) <= state.step}
        self.before = self.seconds[str(state.step)]
        self.started = time.process_time(), time.perf_counter()
        self.metrics = MetricsFile(run.directory / "metrics.jsonl", state.step)

    def record(self, record: Record) -> None:
        """Write the numbers."""
        self.metrics.log(record)
        self.on_step(int(record["step"]))

    def checkpoint(self, state: TrainState) -> None:
        """Save, the time first: what is on disk for a step is then never missing."""
        now = time.process_time(), time.perf_counter()
        used = [b + n - s for b, n, s in zip(self.before, now, self.started, strict=True)]
        self.seconds[str(state.step)] = used
        write_json(self.path, self.seconds)
        self.run.save(state)


def train_unit(unit: Unit, data: Path, device: torch.device, on_step: Callable[[int], Any]) -> bool:
    """Train or go on from the last checkpoint.

    Args:
        unit: What; its directory must be claimed.
        data: Folder that holds the demonstrations.
        device: Where.
        on_step: Called with the step now and then.

    Returns:
        Whether it is complete; False after SIGINT or SIGTERM.

    Raises:
        DivergedError: A loss was not finite.
        UserError: The demonstrations are missing or do not fit.
    """
    directory, request = unit.directory / "run", unit.request()
    cfg = prepare(request, data)
    run = Run(directory)
    run.clear_unfinished()
    step = run.last_step()
    if step == cfg.steps:
        return True
    kept = Kept(run.data(), step or 0) if run.exists() else None
    cfg, state, windows, validation, facts = assemble(cfg, open_demos(cfg), device, resumes=step is not None, kept=kept)
    unit.begin()
    if step is not None:
        run.restore(state)
    if kept is None:
        Run.create(directory, cfg.anchored(), facts)
    hooks = Accounted(unit, run, state, on_step)
    try:
        return fit(state, windows, validation, Processes(device), hooks)
    finally:
        hooks.metrics.close()


def prepare(cfg: TrainConfig, data: Path) -> TrainConfig:
    """The configuration with the folder of the data and how often to save."""
    dataset = dataclasses.replace(cfg.dataset, path=tuple(data / path for path in cfg.dataset.paths))
    return dataclasses.replace(cfg, dataset=dataset, checkpoint_every=CHECKPOINT_EVERY, log_every=LOG_EVERY)


def trained_steps(unit: Unit) -> int:
    """Step of the last checkpoint."""
    return read_json(unit.directory / "run" / "checkpoints" / "last" / "train.json")["step"]


def training_facts(unit: Unit) -> dict[str, Any]:
    """Steps, time [s] and demonstrations of a complete training."""
    step = trained_steps(unit)
    cpu, wall = read_json(unit.directory / "seconds.json")[str(step)]
    data = Run.open(unit.directory / "run").data()
    return {
        "steps": step,
        "cpu_s": cpu,
        "wall_s": wall,
        "demonstrations": data.num_episodes,
        "content_hash": data.content_hash,
    }

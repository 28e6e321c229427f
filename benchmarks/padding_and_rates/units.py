"""Trainings with their episodes.

A unit is one training and its episodes, such as padding/push/flow/held/0 or rates/insert/unet/3e-4/2; the last number
is the training seed. Every finished unit is a line of DIR/units.jsonl, and what is there is not done again. Seeds come
in turn, so that what is finished early compares all choices. Demonstrations are collected into DIR first (and nothing
else is done with --minutes 0). Processes share the device; to use both a GPU and the cores beside it, collect, then
start two commands with different units.

All units of a task start their episodes from the same initial states, which no other result uses.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import multiprocessing
import time
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np

from robolearn import seeds
from robolearn.config import read_json, to_json
from robolearn.data.collect import collect
from robolearn.data.splits import Padding
from robolearn.errors import UserError
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.diffusion import DiffusionConfig
from robolearn.policies.family import FamilyConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.registry import BACKBONES
from robolearn.policies.score import ScoreConfig
from robolearn.report.facts import machine_facts
from robolearn.rollout.execution import Execution
from robolearn.rollout.roll_out import roll_out
from robolearn.training.assemble import assemble, open_demos
from robolearn.training.config import DatasetConfig, TrainConfig
from robolearn.training.device import Processes, choose_device
from robolearn.training.fit import Hooks, Record, fit

TASKS = {"push": "envs:robolearn/Push-v0", "insert": "envs:robolearn/Insert-v0"}
DENOISERS: dict[str, FamilyConfig] = {
    "flow": FlowConfig(),
    "diffusion": DiffusionConfig(sampler="dpm++", steps=10),
    "score": ScoreConfig(sampler="heun", steps=10),
}
RATES_FAMILY = FlowConfig(steps=10)
PADDINGS: tuple[Padding, ...] = ("masked", "held")
RATES = {"1e-4": 1e-4, "3e-4": 3e-4, "1e-3": 1e-3}
PRESENT_RATE = "1e-3"


@dataclass(frozen=True)
class Size:
    """How much is trained and rolled out."""

    demonstrations: int = 1_000
    steps: dict[str, int] = dataclasses.field(default_factory=lambda: {"padding": 6_000, "rates": 4_000})
    """Study -> optimizer steps."""
    seeds: dict[str, int] = dataclasses.field(default_factory=lambda: {"padding": 5, "rates": 3})
    """Study -> training seeds."""
    batch_size: int = 256
    episodes: int = 240


DRY = Size(8, {"padding": 3, "rates": 3}, {"padding": 1, "rates": 1}, 8, 2)


@dataclass(frozen=True)
class Unit:
    """One training with its episodes."""

    study: str
    task: str
    model: str
    """Family (padding) or backbone (rates)."""
    choice: str
    seed: int

    @property
    def name(self) -> str:
        """STUDY/TASK/MODEL/CHOICE/SEED."""
        return f"{self.study}/{self.task}/{self.model}/{self.choice}/{self.seed}"

    def train_config(self, folder: Path, size: Size) -> TrainConfig:
        """Options of the training: the defaults but for what the unit chooses."""
        steps, is_padding = size.steps[self.study], self.study == "padding"
        padding: Any = self.choice if is_padding else "masked"
        return TrainConfig(
            family=DENOISERS[self.model] if is_padding else RATES_FAMILY,
            backbone=MLPConfig() if is_padding else BACKBONES[self.model](),
            dataset=DatasetConfig((folder / f"{self.task}.zarr",), padding=padding),
            chunk_frame="absolute",  # as it was measured
            steps=steps,
            batch_size=size.batch_size,
            lr=RATES[PRESENT_RATE if is_padding else self.choice],
            seed=self.seed,
            checkpoint_every=steps,
            log_every=steps,
            wandb=False,
        )


def make_units(size: Size) -> list[Unit]:
    """All units, those of the first training seed first."""
    padding = [Unit("padding", *key, 0) for key in itertools.product(TASKS, DENOISERS, PADDINGS)]
    rates = [Unit("rates", *key, 0) for key in itertools.product(TASKS, BACKBONES, RATES)]
    return [
        dataclasses.replace(unit, seed=seed)
        for seed in range(max(size.seeds.values()))
        for unit in padding + rates
        if seed < size.seeds[unit.study]
    ]


class Losses(Hooks):
    """Keeps the last numbers."""

    def __init__(self) -> None:
        self.last: Record = {}

    def record(self, record: Record) -> None:
        """Numbers of the steps since the last call."""
        self.last |= record


def run_unit(unit: Unit, folder: Path, size: Size, device_name: str) -> dict[str, Any]:
    """Train, roll out, and return what is worth keeping; runs in a process of its own."""
    device, started = choose_device(device_name, threads=1), time.perf_counter()
    cfg = unit.train_config(folder, size)
    cfg, state, windows, validation, facts = assemble(cfg, open_demos(cfg), device)
    losses = Losses()
    if not fit(state, windows, validation, Processes(device), losses):
        raise KeyboardInterrupt
    trained = time.perf_counter()
    policy, episodes = state.ema.module.eval(), range(size.episodes)
    execution = Execution(cfg.exec_horizon)
    trajectories = roll_out(policy, cfg.env, episodes, execution=execution, seed=seeds.DEFAULTS.start)
    return {
        "unit": unit.name,
        "size": to_json(size, {}),
        "data": facts.content_hash,
        "success": [int(t.success) for t in trajectories],
        "score": [round(t.max_score, 4) for t in trajectories],
        "numbers": losses.last,
        "train_s": round(trained - started, 1),
        "rollout_s": round(time.perf_counter() - trained, 1),
        "facts": machine_facts(str(device)),
    }


def read_units(path: Path) -> list[dict[str, Any]]:
    """What is finished; a line that a kill has cut is not. Of a report, all that it was made of."""
    if path.suffix == ".json":
        report = read_json(path)
        units = {name: [int(digit) for digit in success] for name, success in report["units"].items()}
        return [{"unit": name, "size": report["size"], "success": success} for name, success in units.items()]
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def missing(units: list[Unit], folder: Path, size: Size) -> list[Unit]:
    """Units that are not finished.

    Raises:
        UserError: The folder holds units of another size.
    """
    finished = {result["unit"]: result["size"] for result in read_units(folder / "units.jsonl")}
    if any(other != to_json(size, {}) for other in finished.values()):
        raise UserError(f"{folder} holds units of another size; choose another --out")
    return [unit for unit in units if unit.name not in finished]


def run(args: argparse.Namespace) -> None:
    """Do the chosen units that are missing, several at once."""
    size, began = DRY if args.dry_run else Size(), time.monotonic()
    args.out.mkdir(parents=True, exist_ok=True)
    for task, env_id in TASKS.items():
        collect(env_id, size.demonstrations, args.out / f"{task}.zarr")
    part, parts = map(int, args.part.split("/"))
    chosen = [unit for unit in make_units(size) if any(fnmatch(unit.name, pattern) for pattern in args.units)]
    todo = missing(chosen[part - 1 :: parts], args.out, size)
    print(f"{len(todo)} of {len(chosen)} units to do, {args.workers} at once on {args.device}", flush=True)
    context = multiprocessing.get_context("spawn")
    waiting, running = iter(todo), set()
    with ProcessPoolExecutor(args.workers, mp_context=context) as pool, (args.out / "units.jsonl").open("a") as file:

        def submit() -> None:
            unit = next(waiting, None)
            if unit is not None and time.monotonic() - began < 60 * args.minutes:
                running.add(pool.submit(run_unit, unit, args.out, size, args.device))

        file.write("\n")  # ends a line that a kill has cut
        for _ in range(args.workers):
            submit()
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for result in (future.result() for future in done):
                file.write(json.dumps(result) + "\n")
                file.flush()
                print(f"{time.monotonic() - began:5.0f} s  {describe(result)}", flush=True)
                submit()


def describe(result: dict[str, Any]) -> str:
    """A line for people."""
    times = f"trained in {result['train_s']:.0f} s, rolled out in {result['rollout_s']:.0f} s"
    return f"{result['unit']:36} success {np.mean(result['success']):.3f}  {times}"

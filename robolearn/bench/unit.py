"""One unit of work: a row on a task, trained with one seed in one budget, and its directory.

RUNS/avoid/flow/compute/0/request.json   what is trained
RUNS/avoid/flow/compute/0/result.json    training facts and the settings measured so far, episode by episode
RUNS/avoid/flow/compute/0/run/           the run, as train.py makes it
RUNS/avoid/flow/compute/0/seconds.json   step -> time used up to that checkpoint
RUNS/avoid/flow/compute/0/.lock          held by the process that works on it

The first two are small, and enough for all tables: they can go to another machine, or, packed, into a repository.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robolearn.bench.kept import Kept, find
from robolearn.bench.rows import Row, Task
from robolearn.config import first_difference, from_json, to_json, write_json
from robolearn.errors import UserError
from robolearn.locks import HeldError, hold
from robolearn.policies.registry import REGISTRY
from robolearn.training.config import TrainConfig


def as_trained(family: Any) -> Any:
    """The family without its run-time choices: a new default of one makes no other training of an old one."""
    runtime = {f.name: f.default for f in dataclasses.fields(family) if f.metadata.get("runtime")}
    return dataclasses.replace(family, **runtime)


@dataclass(frozen=True)
class Unit:
    """A row on a task with one training seed in one budget."""

    task: Task
    row: Row
    budget: str
    seed: int
    runs: Path
    """Root of all units."""
    kept: Kept = field(default_factory=dict, repr=False)
    """Results of units that are not there."""

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.task.name} {self.row.name} {self.budget} seed {self.seed}"

    @property
    def path(self) -> str:
        """Below RUNS."""
        return self.beside(self.row.name)

    @property
    def directory(self) -> Path:
        """Where everything of this unit is."""
        return self.runs / self.path

    def alone(self) -> Unit:
        """The same without the results of other units, to travel."""
        own = (f"{self.path}/{name}.json" for name in ("request", "result"))
        return dataclasses.replace(self, kept={name: self.kept[name] for name in own if name in self.kept})

    def beside(self, row: str) -> str:
        """Below RUNS, of the unit of another row with the same task, budget and seed."""
        return f"{self.task.name}/{row}/{self.budget}/{self.seed}"

    def request(self) -> TrainConfig:
        """What is to be trained, without where the data lie and how it will be sampled."""
        options = self.task.options(self.row)
        return dataclasses.replace(
            options,
            family=as_trained(options.family),
            steps=self.row.num_steps(self.task, self.budget),
            seed=self.seed,
            wandb=False,
        )

    def trained(self) -> TrainConfig | None:
        """What is trained according to what was written down; None before that."""
        name = f"{self.path}/request.json"
        if (stored := find(name, self.runs, self.kept)) is None:
            return None
        if "train" in stored:  # as it was written when family and backbone stood beside the options
            stored = {**stored["train"], **{key: value for key, value in stored.items() if key != "train"}}
        return from_json(TrainConfig, stored, REGISTRY, name)

    def result(self) -> dict[str, Any]:
        """What is known so far; empty before training has ended.

        Raises:
            UserError: The directory is of another configuration.
        """
        there, request = self.trained(), self.request()
        if there is not None:
            # How chunks are sampled and executed makes no other training.
            same = dataclasses.replace(there, family=as_trained(there.family), exec_horizon=request.exec_horizon)
            if differs := first_difference(request, same, REGISTRY):
                raise UserError(
                    f"{self.directory} was trained with other options: {differs}; remove it or choose other `runs`"
                )
        return find(f"{self.path}/result.json", self.runs, self.kept) or {}

    def missing(self) -> list[str]:
        """Settings that are not measured yet, or with chunks executed otherwise; none for a training that failed."""
        result, wanted = self.result(), self.request().exec_horizon
        if "failed" in result:
            return []
        measured = result.get("settings", {})
        executed = {name: one["exec_horizon"] for name, one in measured.items() if "exec_horizon" in one}
        if len(executed) < len(measured):  # a setting did not always say so itself
            executed = dict.fromkeys(measured, (self.trained() or self.request()).exec_horizon) | executed
        return [setting.name for setting in self.row.settings if executed.get(setting.name) != wanted]

    @contextmanager
    def claim(self) -> Iterator[bool]:
        """Hold this unit; gives False where another living process holds it. A dead one holds nothing."""
        with ExitStack() as held:
            try:
                held.enter_context(hold(self.directory))
            except HeldError:
                yield False
                return
            yield True

    def begin(self) -> None:
        """Write down what is trained."""
        self.directory.mkdir(parents=True, exist_ok=True)
        write_json(self.directory / "request.json", to_json(self.request(), REGISTRY))

    def write(self, result: dict[str, Any]) -> None:
        """Replace the result."""
        write_json(self.directory / "result.json", result, compact=True)

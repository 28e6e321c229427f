"""What a single choice does to a policy: trials that may decide a default, and are reported nowhere else.

    python -m benchmarks.recipes [--task insert push] [--rows tokens cvae] [--recipes plain dropout] [--out FILE.json]

A recipe is a way to train the rows of `bench triangle`. Plain is without what keeps a policy from learning by heart,
whatever the task says today; the others add to that. Task, budget and all else stay. Trainings have
the seed for tuning and episodes start from the seeds for defaults, so that the triangle's own seeds are not looked at.
Units are those of `bench triangle`: one that is complete is not done again, one that was stopped goes on, and several
processes may share the work. The file keeps what it has of other tasks, rows and recipes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import keep, options
from robolearn import seeds
from robolearn.bench.rows import ROWS, TASKS, Row, Task, choose
from robolearn.bench.summary import Measured, summarize_trainings
from robolearn.bench.triangle import work
from robolearn.bench.unit import Unit
from robolearn.config import read_json, to_json
from robolearn.errors import UserError, user_errors

SEED = seeds.TUNING.start
STATES = {"insert": 40, "push": 40, "pusht": 192}  # initial states, where they are not the triangle's
PLAIN: dict[str, Any] = {"obs_noise": 0.0, "chunk_frame": "absolute", "exec_horizon": 8}
PLAIN_BACKBONE: dict[str, Any] = {"dropout": 0.0}


@dataclass(frozen=True)
class Recipe:
    """What is added to a plain training.

    Attributes:
        name: What it is called.
        backbone: Options of the backbone.
        train: Options of the training.
        family: Options of the family; rows that do not know one are left out.
    """

    name: str
    backbone: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    family: Mapping[str, Any] = field(default_factory=dict)

    def applies(self, row: Row) -> bool:
        """Whether the row knows all options."""
        family: Any = row.family
        return {f.name for f in dataclasses.fields(family)} >= self.family.keys()

    def task(self, task: Task) -> Task:
        """The task with the options of backbone and training, for every row alike."""
        plain: Any = task.train.backbone
        backbone = dataclasses.replace(plain, **PLAIN_BACKBONE | dict(self.backbone))
        train = dataclasses.replace(task.train, backbone=backbone, **PLAIN | dict(self.train))
        return dataclasses.replace(task, name=f"{task.name}-{self.name}", train=train, own={})

    def row(self, row: Row) -> Row:
        """The row with the family's options."""
        family: Any = row.family
        return dataclasses.replace(row, family=dataclasses.replace(family, **self.family))


RECIPES = (
    Recipe("plain"),
    Recipe("dropout", backbone={"dropout": 0.2}),
    Recipe("noise", train={"obs_noise": 0.05}),
    Recipe("dropout-noise", backbone={"dropout": 0.2}, train={"obs_noise": 0.05}),
    Recipe("decay", train={"weight_decay": 0.5}),
    Recipe("frame", train={"chunk_frame": "relative"}),
    Recipe("frame-dropout", backbone={"dropout": 0.1}, train={"chunk_frame": "relative"}),
    Recipe("frame-noise", backbone={"dropout": 0.1}, train={"chunk_frame": "relative", "obs_noise": 0.05}),
    Recipe("draws", family={"draws_per_window": 8}),
    Recipe("frame-draws", train={"chunk_frame": "relative"}, family={"draws_per_window": 8}),
)
Trial = tuple[str, str, str, Unit]
"""Names of task, row and recipe, and what is trained."""


def make_trials(tasks: list[Task], rows: list[Row], recipes: list[Recipe], runs: Path) -> list[Trial]:
    """Every combination that there is."""
    return [
        (task.name, row.name, recipe.name, Unit(recipe.task(task), recipe.row(row), "compute", SEED, runs))
        for task in tasks
        for row in rows
        for recipe in recipes
        if recipe.applies(row)
    ]


def results(trials: list[Trial]) -> dict[str, Any]:
    """Task, row, recipe and setting -> numbers with intervals over initial states, and the episodes themselves."""
    summaries = {}
    for task, row, recipe, unit in trials:
        result = unit.result()
        for setting, measured in result["settings"].items():
            summaries[f"{task} {row} {recipe} {setting}"] = {
                **summary(measured, result["modes"]),
                "steps": result["training"]["steps"],
                "cpu_s": result["training"]["cpu_s"],
                "facts": measured["facts"],
            }
    return summaries


def summary(measured: Measured, modes: list[int] | None) -> dict[str, Any]:
    """Success, score and mode entropy with intervals over initial states, and the episodes that they are of."""
    numbers = summarize_trainings([measured], modes)
    return {
        "success": to_json(numbers.success, {}),
        "score": to_json(numbers.score, {}),
        "mode_entropy": numbers.mode_entropy and to_json(numbers.mode_entropy, {}),
        "modes": modes,
        "evaluation": measured["evaluation"],
    }


def line(name: str, numbers: dict[str, Any]) -> str:
    """A name and its numbers, for people."""
    values = {key: numbers[key] for key in ("success", "score", "mode_entropy") if numbers[key]}
    return " ".join([f"{name:48}", *(f"{key} {value['value']:.3f}" for key, value in values.items())])


def main() -> None:
    """Train and measure what is missing, and print all."""
    parser = options(__doc__)
    parser.add_argument("--task", nargs="+", default=["insert", "push"])
    parser.add_argument("--rows", nargs="+", default=["tokens", "cvae", "flow"])
    parser.add_argument("--recipes", nargs="+", default=["plain", "dropout"])
    parser.add_argument("--data", type=Path, default=Path("datasets"))
    parser.add_argument("--runs", type=Path, default=Path("runs/recipes"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    tasks = [sized(task, args.dry_run) for task in choose("task", args.task, TASKS)]
    rows, recipes = choose("row", args.rows, ROWS), choose("recipe", args.recipes, RECIPES)
    trials = make_trials(tasks, rows, recipes, args.runs)
    if busy := work([unit for *_, unit in trials], args.data, torch.device("cpu")):
        raise UserError(f"other processes are still working on {', '.join(unit.name for unit in busy)}")
    summaries = results(trials)
    for name, numbers in summaries.items():
        print(line(name, numbers))
    before = read_json(args.out)["results"] if args.out and args.out.exists() else {}
    keep(args.out, {"seed": SEED, "results": before | summaries}, compact=True)


class UnreportedTask(Task):
    """A task from states that nothing is reported of; a setting is chosen by the episodes of one."""

    @property
    def parts(self) -> dict[str, range]:
        """See Task."""
        return {"evaluation": seeds.DEFAULTS[: self.num_states], "selection": seeds.SELECTION[:1]}


def sized(task: Task, dry: bool) -> Task:
    """The task, unreported; in a dry run in two steps and from two states."""
    unreported = UnreportedTask(**vars(task))
    if not dry:
        return dataclasses.replace(unreported, num_states=STATES.get(task.name, task.num_states))
    data = dataclasses.replace(task.train.dataset, validation_fraction=0.5)
    train = dataclasses.replace(task.train, steps=2, dataset=data)
    return dataclasses.replace(unreported, num_states=2, num_repeats=2, train=train)


if __name__ == "__main__":
    with user_errors():
        main()

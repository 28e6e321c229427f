"""Twenty demonstrations, a thousand that are generated of them, and all: what a policy learns from each.

    python -m benchmarks.generation push DATA.zarr --out docs/results/lecture.json
    python -m benchmarks.generation insert DATA.zarr --out docs/results/lecture.json

DATA are the demonstrations of the results. Training s has the demonstrations 20 s to 20 s + 19, and generates of those;
the policy is that of the task's recipe, with as many steps from each store. Always the last checkpoint. What is there
is neither generated nor trained again. Intervals span trainings, with their demonstrations, and starts.

Declared before anything is measured. Judged is the success from what was generated less that from all, paired by
training and start: it reaches it if the interval lies above -0.05.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.common import options, parsed, part
from benchmarks.trainings import facts_of, line, measure, train_once
from robolearn import DemoStore, DemoWriter, seeds
from robolearn.data.writer import is_unbegun
from robolearn.errors import user_errors
from robolearn.generation.config import GenerateConfig
from robolearn.generation.generate import attempts_behind, generate
from robolearn.rollout.env_config import EnvConfig
from robolearn.training.recipes import RECIPES

SOURCES, GENERATED, TRAININGS, EPISODES = 20, 1_000, 3, 240
MARGIN = 0.05  # of success
APART = 100  # starts that are set apart for each generated episode, so that no two trainings share one


@dataclass(frozen=True)
class Task:
    """Whose demonstrations, and how much the executed actions are shaken: as much as its expert's [m]."""

    env: EnvConfig
    noise: float


TASKS = {
    "push": Task(EnvConfig("envs:robolearn/Push-v0"), 0.004),
    "insert": Task(EnvConfig("envs:robolearn/Insert-v0"), 0.0003),
}


def main() -> None:
    """Generate, train and measure, and keep the numbers of each group as soon as they are there."""
    parser = options(__doc__)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=Path("runs/generation"), help="folder of stores and runs")
    args = parsed(parser)
    task, count = TASKS[args.task], 1 if args.dry_run else TRAININGS
    episodes = seeds.EVALUATION[: 2 if args.dry_run else EPISODES]
    few = [take(args.data, number, args.work / args.task) for number in range(count)]
    made = [carry_over(store, number, task, args.dry_run) for number, store in enumerate(few)]
    stores_of = {"few": few, "generated": made, "all": [args.data] * count}
    for group, stores in stores_of.items():
        runs = [
            train_once(f"{args.task}-{group}", RECIPES[args.task], seed, store, args.work, dry=args.dry_run)
            for seed, store in zip(seeds.TRAININGS, stores, strict=False)
        ]
        asked = facts_of(runs, episodes)
        if group == "generated":
            asked |= spent(made)
        make = partial(measure, runs, task.env, episodes)
        measured = part(args.out, f"generation/{args.task}/{group}", make, asked)
        print(f"{args.task} {group}:", line(measured), flush=True)


def take(data: Path, number: int, work: Path) -> Path:
    """A store of 20 demonstrations of others."""
    path = work / f"few-{number}.zarr"
    if is_unbegun(path):
        source = DemoStore.open(data)
        first = number * SOURCES
        chosen = [source.episode(index) for index in range(first, min(first + SOURCES, source.num_episodes))]
        DemoWriter.begin(path, attrs=source.attrs).extend(chosen)
    return path


def first_seed(number: int) -> int:
    """Of the starts of a training."""
    return seeds.GENERATION[number * GENERATED * APART]


def carry_over(source: Path, number: int, task: Task, dry: bool) -> Path:
    """A store of demonstrations that are generated of others."""
    path = source.with_name(f"generated-{number}.zarr")
    generate(source, 2 if dry else GENERATED, path, GenerateConfig(noise=task.noise, seed=first_seed(number)))
    return path


def spent(stores: Sequence[Path]) -> dict[str, Any]:
    """Attempts behind generated stores, and the starts among theirs at which none succeeded."""
    each = [
        attempts_behind(DemoStore.open(path), first_seed(number), GenerateConfig.tries)
        for number, path in enumerate(stores)
    ]
    return {"attempts": [attempts for attempts, _ in each], "unsolved": [unsolved for _, unsolved in each]}


if __name__ == "__main__":
    with user_errors():
        main()

"""Where a comparison takes its demonstrations from and where its results go: the published triangle, or one's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from robolearn.bench.rows import TASKS, Task, choose
from robolearn.data.demos import Demos
from robolearn.errors import UserError
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.known import check_known
from robolearn.rollout.making import facts_of
from robolearn.training.config import DatasetConfig, TrainConfig

RUNS, OUT = Path("runs/triangle"), Path("docs/results/triangle")
KEPT = Path("benchmarks/triangle/raw.json.xz")


@dataclass(frozen=True)
class Comparison:
    """Tasks and places.

    Attributes:
        tasks: To work on.
        known: All whose results stand together.
        data: Folder that holds the demonstrations.
        runs: Root of all units.
        out: Of the results, without the ending.
        kept: Results in one file, which count where runs has none; None without.
    """

    tasks: tuple[Task, ...]
    known: tuple[Task, ...]
    data: Path
    runs: Path
    out: Path
    kept: Path | None


def published(tasks: Sequence[str], data: Path, runs: Path | None, kept: Path | None, out: Path | None) -> Comparison:
    """The triangle on its own tasks. What was published counts only together with the runs it was made of.

    Raises:
        UserError: A task is unknown.
    """
    chosen = choose("task", tasks, TASKS)
    if kept is None and (runs or RUNS) == RUNS and KEPT.exists():
        kept = KEPT
    return Comparison(tuple(chosen), TASKS, data, runs or RUNS, out or OUT, kept)


def own(
    store: Path, env: EnvConfig, steps: int | None, runs: Path | None, kept: Path | None, out: Path | None
) -> Comparison:
    """On any store and the environment that it names.

    Episodes start from 200 initial states, or 24 from each of 10 where the environment tells modes apart.

    Args:
        store: Demonstrations.
        env: Environment; by default the one they name, with the options given here.
        steps: Of the reference row, in the compute budget; by default those of train.py.
        runs: By default runs/bench.
        kept: By default nowhere.
        out: By default RUNS/TASK/results.

    Raises:
        UserError: The store cannot be read, no environment is named, or one of an unknown module.
    """
    attrs = Demos.open([store]).attrs
    if env.id is None and attrs.env_id is None:
        raise UserError(f"{store} names no environment; give `env.id`")
    named = env.with_defaults(EnvConfig(attrs.env_id, attrs.env_kwargs))
    if env.id is None:
        check_known(named, store, env)
    dataset = DatasetConfig((Path(store.name),))
    train = TrainConfig(dataset=dataset, env=env)
    train = train if steps is None else dataclasses.replace(train, steps=steps)
    task = Task(store.name.removesuffix(".zip").removesuffix(".zarr"), train, num_seeds=3)
    if facts_of(named).num_modes is None:
        task = Task(task.name, train, num_states=200, num_repeats=1, num_seeds=3)
    runs = runs or Path("runs/bench")
    return Comparison((task,), (task,), store.parent, runs, out or runs / task.name / "results", kept)


def is_store(data: Path) -> bool:
    """Whether this is one store, not a folder of some."""
    return data.suffix in (".zarr", ".zip") or (data / "meta").is_dir()

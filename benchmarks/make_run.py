"""`make run` of this checkout beside that of another commit, in turn: how much sooner a newcomer has a report.

    git worktree add ../before COMMIT
    python -m benchmarks.make_run ../before --store datasets/avoid.zarr [--out docs/results/speed.json]

Demonstrations are collected already, as far as both read the same store. Each checkout runs the commands of its own
Makefile, in a folder of its own and with the Python that runs this. Time of day, so nothing else may run.
"""

from __future__ import annotations

import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.common import keep_part, options, ratio
from benchmarks.tables import interval
from robolearn.config import read_json
from robolearn.errors import UserError, user_errors
from robolearn.report.facts import commit

HERE = Path(__file__).parents[1]
RUN, STORE = Path("runs/avoid"), Path("datasets/avoid.zarr")
SHORT = {"train.py": ["--steps", "20"], "eval.py": ["--episodes", "4"]}


def main() -> None:
    """Measure and print."""
    parser = options(__doc__)
    parser.add_argument("before", type=Path, help="a checkout of another commit")
    parser.add_argument("--store", type=Path, default=STORE, help="the demonstrations of Avoid")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    trees = {"before": args.before.resolve(), "now": HERE}
    for tree in trees.values():
        if not (tree / "Makefile").exists():
            raise UserError(f"{tree}: no checkout, it has no Makefile")
    seconds, cpu, found = ({name: list[Any]() for name in trees} for _ in range(3))
    with tempfile.TemporaryDirectory() as folder:
        for number in range(1 if args.dry_run else args.rounds):
            for name, tree in trees.items():
                place = Path(folder) / f"{name}-{number}"
                begun, used = time.perf_counter(), cpu_seconds()
                make_run(tree, place, args.store.resolve(), short=args.dry_run)
                seconds[name].append(time.perf_counter() - begun)
                cpu[name].append(cpu_seconds() - used)
                found[name].append(reached(place))
                print(
                    f"{name:6} {seconds[name][-1]:6.1f} s, {cpu[name][-1]:6.1f} of CPU, {told(found[name][-1])}",
                    flush=True,
                )
    commits = {name: commit(tree) for name, tree in trees.items()}
    share = ratio(seconds["now"], seconds["before"])
    print(f"now over before: {share:.2f}")
    results = {"commits": commits, "seconds": seconds, "cpu_seconds": cpu, "reached": found, "ratio": share}
    keep_part(args.out, "make_run", results)


def make_run(tree: Path, place: Path, store: Path, *, short: bool) -> None:
    """Run what the target `run` of a checkout's Makefile does, below a place of its own.

    Raises:
        UserError: A command fails.
    """
    (place / STORE.parent).mkdir(parents=True)
    (place / STORE).symlink_to(store)
    environment = {**os.environ, "PYTHONPATH": str(tree), "WANDB_MODE": "disabled"}
    for words in commands(tree):
        script = words[0]
        code = ["-m", *words[1:]] if script == "-m" else [str(tree / script), *words[1:]]
        done = subprocess.run(
            [sys.executable, *code, *(SHORT.get(script, []) if short else [])],
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise UserError(f"{tree}: {shlex.join(words)} failed: {done.stderr.strip().rpartition(chr(10))[2]}")


def commands(tree: Path) -> list[list[str]]:
    """What python is called with by `make run`, but the collection: its store is there."""
    _, _, behind = (tree / "Makefile").read_text().partition("\nrun:")
    recipe = [line.strip() for line in behind.splitlines()[1:]]
    lines = recipe[: recipe.index("")]
    calls = [shlex.split(line.replace("$(RUN)", str(RUN)))[1:] for line in lines]
    return [call for call in calls if "collect" not in call]


def reached(place: Path) -> dict[str, Any]:
    """Success and the entropy of the modes, with their intervals; none of the latter without a success."""
    summary = read_json(place / RUN / "eval" / "summary.json")["summary"]
    return {name: summary[name] for name in ("success", "mode_entropy")}


def told(found: dict[str, Any]) -> str:
    """What was reached, in words."""
    return ", ".join(f"{name} {interval(values)}" for name, values in found.items() if values)


def cpu_seconds() -> float:
    """CPU time of all processes that were started from here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    with user_errors():
        main()

"""`make run` of this checkout beside that of another commit, in turn: how much sooner a newcomer has a report.

    git worktree add ../before COMMIT
    python -m benchmarks.make_run ../before --store datasets/avoid.zarr [--out docs/results/speed.json]

Demonstrations are collected already, as far as both read the same store. Each checkout runs the commands of its own
Makefile, in a folder of its own and with the Python that runs this. Time of day, so nothing else may run.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.common import children_seconds, keep_part, options, ratio
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
    seconds, cpu, outcomes = ({name: list[Any]() for name in trees} for _ in range(3))
    with tempfile.TemporaryDirectory() as root:
        for number in range(1 if args.dry_run else args.rounds):
            for name, tree in trees.items():
                folder = Path(root) / f"{name}-{number}"
                begun, used = time.perf_counter(), children_seconds()
                make_run(tree, folder, args.store.resolve(), short=args.dry_run)
                seconds[name].append(time.perf_counter() - begun)
                cpu[name].append(children_seconds() - used)
                outcomes[name].append(reached(folder))
                print(
                    f"{name:6} {seconds[name][-1]:6.1f} s, {cpu[name][-1]:6.1f} of CPU, {in_words(outcomes[name][-1])}",
                    flush=True,
                )
    commits = {name: commit(tree) for name, tree in trees.items()}
    share = ratio(seconds["now"], seconds["before"])
    print(f"now over before: {share:.2f}")
    results = {"commits": commits, "seconds": seconds, "cpu_seconds": cpu, "reached": outcomes, "ratio": share}
    keep_part(args.out, "make_run", results)


def make_run(tree: Path, folder: Path, store: Path, *, short: bool) -> None:
    """Run what the target `run` of a checkout's Makefile does, below a folder of its own.

    Raises:
        UserError: A command fails.
    """
    (folder / STORE.parent).mkdir(parents=True)
    (folder / STORE).symlink_to(store)
    environment = {**os.environ, "PYTHONPATH": str(tree), "WANDB_MODE": "disabled"}
    for words in commands(tree):
        script = words[0]
        code = ["-m", *words[1:]] if script == "-m" else [str(tree / script), *words[1:]]
        done = subprocess.run(
            [sys.executable, *code, *(SHORT.get(script, []) if short else [])],
            cwd=folder,
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


def reached(folder: Path) -> dict[str, Any]:
    """Success and the entropy of the modes, with their intervals; none of the latter without a success."""
    summary = read_json(folder / RUN / "eval" / "summary.json")["summary"]
    return {name: summary[name] for name in ("success", "mode_entropy")}


def in_words(outcome: dict[str, Any]) -> str:
    """What was reached, in words."""
    return ", ".join(f"{name} {interval(values)}" for name, values in outcome.items() if values)


if __name__ == "__main__":
    with user_errors():
        main()

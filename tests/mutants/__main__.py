"""Run the kept mutants: put each fault into a copy of the tree, and see whether its tests notice.

    python -m tests.mutants [--only TEXT ...] [--workers N]

A mutant is killed if its tests fail with it and pass without it. The exit status is 1 if one survived, or if one is
broken: its old text is gone or stands twice, its tests do not exist, cannot be collected or fail without it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.kept import Mutant, read_mutants

ROOT = Path(__file__).parents[2]
NOT_COPIED = shutil.ignore_patterns(".*", "runs", "wandb", "build", "__pycache__", "*.egg-info", "*.zarr")
TIME_LIMIT = 600  # [s] of the tests of one mutant; a fault that makes them hang is noticed
GREEN_LIMIT = 3600  # [s] of the tests of all, without a fault
PASSED, FAILED = 0, 1  # of pytest's exit codes; the others say that the tests could not be run


def pytest_status(tree: Path, tests: Sequence[str], *options: str, limit: float = TIME_LIMIT) -> int:
    """Exit code of pytest on these tests in a copy of the tree, slow ones included."""
    checked = "--jaxtyping-packages=robolearn,beartype.beartype"
    command = [sys.executable, "-m", "pytest", "-x", "-m", "", checked, "-p", "no:cacheprovider", *options, *tests]
    env = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    try:
        return subprocess.run(command, cwd=tree, env=env, capture_output=True, timeout=limit).returncode
    except subprocess.TimeoutExpired:
        return FAILED


def judge(mutant: Mutant, tree: Path) -> str:
    """killed, survived, or broken with the reason; the tree is afterwards as it was before."""
    path = tree / mutant.file
    try:
        source = path.read_text()
        mutated = mutant.apply(source)
    except (OSError, ValueError, SyntaxError) as error:
        return f"broken: {error}"
    try:
        replace(path, mutated)
        status = pytest_status(tree, mutant.tests)
    finally:
        replace(path, source)
    if status == PASSED:
        return "survived"
    return "killed" if status == FAILED else f"broken: pytest ends with {status}"


def replace(path: Path, text: str) -> None:
    """Write a source so that its byte code is seen to be old, also where size and second are the same."""
    later = path.stat().st_mtime + 2
    path.write_text(text)
    os.utime(path, (later, later))


def run_mutants(mutants: Sequence[Mutant], root: Path, workers: int) -> Iterator[tuple[Mutant, str]]:
    """Judge all, each worker in its own copy of the tree; yields them as they are done."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(workers) as pool:
        trees: SimpleQueue[Path] = SimpleQueue()
        for number in range(workers):
            trees.put(Path(shutil.copytree(root, Path(folder) / str(number), ignore=NOT_COPIED)))

        def in_a_tree(mutant: Mutant) -> str:
            tree = trees.get()
            try:
                verdict = judge(mutant, tree)
                is_red = verdict == "killed" and mutant in suspects and pytest_status(tree, mutant.tests) != PASSED
                return "broken: its tests fail without it" if is_red else verdict
            finally:
                trees.put(tree)

        tests = list(dict.fromkeys(test for mutant in mutants for test in mutant.tests))
        tree = trees.get()
        # All at once, since most of a run is starting; one by one only where that is not green.
        green = pytest_status(tree, tests, "-n", str(workers), limit=GREEN_LIMIT) == PASSED
        suspects = set() if green else set(mutants)
        trees.put(tree)
        running = {pool.submit(in_a_tree, mutant): mutant for mutant in mutants}
        for future in as_completed(running):
            yield running[future], future.result()


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Run those that are asked for, print a line for each and a sum; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=[""], metavar="TEXT", help="those whose ROOM/NAME holds a TEXT")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), metavar="N")
    args = parser.parse_args(arguments)
    mutants = [m for m in read_mutants(root / "tests" / "mutants") if any(text in str(m) for text in args.only)]
    if not mutants:
        parser.error(f"no mutant is called {' or '.join(args.only)}")
    started, counts = time.monotonic(), Counter()
    for mutant, verdict in run_mutants(mutants, root, args.workers):
        counts[verdict.split(":")[0]] += 1
        print(f"{mutant}: {verdict}", flush=True)
    shares = ", ".join(f"{counts[kind]} {kind}" for kind in ("killed", "survived", "broken"))
    print(f"{len(mutants)} mutants: {shares} in {time.monotonic() - started:.0f} s")
    return 0 if counts["killed"] == len(mutants) else 1


if __name__ == "__main__":
    sys.exit(main())

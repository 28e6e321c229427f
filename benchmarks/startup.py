"""CPU time of a command until it does what it is for: train.py until its first step, eval.py, and collect.

    python -m benchmarks.startup [--out docs/results/speed.json]

Told apart is what each package takes to be imported, with all that it imports; of a package that is there already, such
as torch, also a part that is imported later. Beside it stands `import torch` alone, which all of them need. In turn, on
one core and in processes of their own; the store and the run are made before.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks.common import children_seconds, keep_part, options
from benchmarks.tables import table

PROBE = Path(__file__).with_name("startup_probe.py")
ROUNDS, EPISODES = 7, 100
ENV = "envs:robolearn/Avoid-v0"
TORCH = "import torch"
EVENTS = {
    "train.py until its first step": ("robolearn.training.state", "TrainState", "passed"),
    "eval.py until its first actions": ("robolearn.rollout.controller", "Controller", "act"),
    "collect until its first episodes": ("robolearn.data.writer", "DemoWriter", "extend"),
}
LEAST = 0.1  # of a package that is named [s]
Rounds = Sequence[Mapping[str, float]]
"""Per round, who ran -> CPU time [s]."""


def main() -> None:
    """Measure, print and keep."""
    parser = options(__doc__)
    args = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as root:
        calls = prepared(Path(root), 2 if args.dry_run else EPISODES)
        cases: dict[str, list[dict[str, float]]] = {name: [] for name in calls}
        alone: list[float] = []
        for number in range(1 if args.dry_run else ROUNDS):
            for name, call in calls.items():
                cases[name].append(probed(Path(root), EVENTS[name], [*call, f"{root}/{call[0]}{number}"]))
            before = children_seconds()
            subprocess.run([sys.executable, "-c", TORCH], check=True)
            alone.append(children_seconds() - before)
    print("\n".join(table_of(cases, alone)))
    keep_part(args.out, "startup", {"cases": cases, TORCH: alone})


def prepared(root: Path, episodes: int) -> dict[str, list[str]]:
    """What each command is called with, but for where it writes to, once what it reads is there."""
    store, run = str(root / "avoid.zarr"), str(root / "run")
    collect, train = ["collect", ENV, "--episodes", str(episodes), "--out"], ["train", "--dataset.path", store]
    for words in ([*collect, store], [*train, "--steps", "2", "--out", run]):
        called([sys.executable, "-m", "robolearn", *words])
    calls = ([*train, "--out"], ["eval", run, "--out"], collect)
    return dict(zip(EVENTS, calls, strict=True))


def probed(root: Path, event: Sequence[str], call: Sequence[str]) -> dict[str, float]:
    """Who ran -> CPU time of a command until the event [s]."""
    told = root / "told.json"
    called([sys.executable, str(PROBE), str(told), *event, *call])
    seconds = json.loads(told.read_text())
    told.unlink()
    return seconds


def called(command: Sequence[str]) -> None:
    """Run a process without a network."""
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "WANDB_MODE": "disabled"})


def table_of(cases: Mapping[str, Rounds], alone: Sequence[float]) -> list[str]:
    """A row per command, of medians."""
    rows = [
        [name, f"{median(sum(one.values()) for one in rounds):.2f}", _named(rounds)] for name, rounds in cases.items()
    ]
    rows.append([f"`{TORCH}` alone", f"{median(alone):.2f}", ""])
    return table(["command", "CPU time [s]", "of which"], rows)


def _named(rounds: Rounds) -> str:
    """Who takes long, longest first."""
    names = {name for one in rounds for name in one}
    medians = sorted(((median(one.get(name, 0.0) for one in rounds), name) for name in names), reverse=True)
    return ", ".join(f"{name} {seconds:.2f}" for seconds, name in medians if seconds >= LEAST)


if __name__ == "__main__":
    main()

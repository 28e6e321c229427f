"""What a task's symmetry buys with a tenth of the demonstrations: flow on Avoid, whose mirror image is Avoid again.

    python -m benchmarks.symmetry [--seeds 0 1 2] [--data datasets] [--out FILE.json]

Three ways to train on the same 200 of the 2,000 demonstrations: ignore the mirror, augment with it, or make the policy
exactly equivariant (canonical). Units are those of `bench triangle`: one that is complete is not done again, one
that was stopped goes on, and several processes may share the work.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from benchmarks.common import keep, options
from robolearn import seeds
from robolearn.bench.rows import ROWS, Row, Setting, Task, choose
from robolearn.bench.summary import entropies, per_state, summarize_trainings
from robolearn.bench.triangle import make_units, work
from robolearn.bench.unit import Unit
from robolearn.config import to_json
from robolearn.data.symmetry import SymmetryUse
from robolearn.errors import UserError, user_errors
from robolearn.stats.differences import paired_difference
from robolearn.stats.value import Estimate
from robolearn.training.config import DatasetConfig, TrainConfig

NUM_DEMONSTRATIONS = 200
STEPS, DRY_STEPS = 6_000, 2
USES: tuple[SymmetryUse, ...] = get_args(SymmetryUse)
FLOW = Row("flow", choose("row", ["flow"], ROWS)[0].family, (Setting("euler-20", {"sampler": "euler", "steps": 20}),))


def make_tasks(dry: bool) -> list[Task]:
    """One for each use of the symmetry."""
    count, steps = (None, DRY_STEPS) if dry else (NUM_DEMONSTRATIONS, STEPS)
    held_out = 0.5 if dry else DatasetConfig.validation_fraction
    data = DatasetConfig((Path("avoid.zarr"),), num_episodes=count, validation_fraction=held_out)
    states, repeats = (2, 2) if dry else (Task.num_states, Task.num_repeats)
    train = TrainConfig(dataset=data, chunk_frame="absolute", steps=steps)  # as it was measured
    return [Task(use, dataclasses.replace(train, symmetry=use), num_states=states, num_repeats=repeats) for use in USES]


def compare(units: list[Unit]) -> dict[str, Any]:
    """Success and mode entropy of each use, and what it gains on ignoring the symmetry, paired."""
    results = {use: [unit.result() for unit in units if unit.task.name == use] for use in USES}
    modes = results["ignore"][0]["modes"]
    measured = {use: [r["settings"]["euler-20"] for r in rs] for use, rs in results.items()}
    plain, rows = measured["ignore"], {}
    for use, trainings in measured.items():
        numbers = summarize_trainings(trainings, modes)
        rows[use] = {
            "success": to_json(numbers.success, {}),
            "mode_entropy": to_json(numbers.mode_entropy, {}),
            "cpu_s": float(np.mean([r["training"]["cpu_s"] for r in results[use]])),
        }
        if use != "ignore":
            gains = {"success": (per_state(trainings, "success"), per_state(plain, "success"))}
            gains["mode_entropy"] = (entropies(trainings, len(modes)), entropies(plain, len(modes)))
            rows[use]["gain"] = {name: to_json(paired_difference(*pair), {}) for name, pair in gains.items()}
    return rows


def show(rows: dict[str, Any]) -> None:
    """Print the table."""
    print(f"{'symmetry':12}{'success':24}{'gain':27}{'mode entropy':24}gain")
    for use, row in rows.items():
        gain = {name: f"{Estimate(**number):+.3f}" for name, number in row.get("gain", {}).items()}
        success, entropy = (f"{Estimate(**row[name]):.3f}" for name in ("success", "mode_entropy"))
        print(f"{use:12}{success:24}{gain.get('success', ''):27}{entropy:24}{gain.get('mode_entropy', '')}")


def main() -> None:
    """Train what is missing, and compare."""
    parser = options(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(seeds.TRAININGS[:3]))
    parser.add_argument("--data", type=Path, default=Path("datasets"))
    parser.add_argument("--runs", type=Path, default=Path("runs/symmetry"))
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    units = make_units(make_tasks(args.dry_run), [FLOW], ["compute"], args.seeds, args.runs)
    if busy := work(units, args.data, torch.device("cpu")):
        raise UserError(f"other processes are still working on {', '.join(unit.name for unit in busy)}")
    rows = compare(units)
    show(rows)
    steps = DRY_STEPS if args.dry_run else STEPS
    keep(args.out, {"seeds": args.seeds, "demonstrations": NUM_DEMONSTRATIONS, "steps": steps, "rows": rows})


if __name__ == "__main__":
    with user_errors():
        main()

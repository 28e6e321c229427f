"""How fast training gets its windows: a batch beside plain gathers, and a store from open to first batch.

    python benchmarks/loader.py [--store X.zarr] [--out FILE.json]

Batches: 256 windows of 2 observations and 16 actions from 200 episodes of 125 steps, state 20, action 2, one
thread. The rivals gather as many rows at ready-made positions, without padding, mask or episodes. Rounds are
interleaved, so that other load on the machine hits all cases alike; the median is shown.

Opening: state and action of the store, from DemoStore.open to the first batch of 256, in fresh processes,
imports not counted.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from robolearn import seeds
from robolearn.data.windows import Windows

NUM_STEPS, NUM_EPISODES, BATCH, OBS_HORIZON, ACTION_HORIZON = 25_000, 200, 256, 2, 16
HUMAN = Path(__file__).parents[2] / "shared" / "data" / "pusht" / "pusht_cchi_v7_replay.zarr"
OPEN = """
import sys, time, torch
from robolearn.data.store import DemoStore
from robolearn.data.windows import Windows
torch.set_num_threads(1)
start = time.perf_counter()
windows = Windows.from_store(DemoStore.open(sys.argv[1]), ("state",), 2, 16)
windows.batch(torch.arange(256))
print(1e3 * (time.perf_counter() - start))
"""


def cases() -> dict[str, Callable[[], object]]:
    """Each gathers one batch of random windows."""
    rng = np.random.default_rng(seeds.FIXED)
    state = rng.standard_normal((NUM_STEPS, 20), dtype=np.float32)
    action = rng.standard_normal((NUM_STEPS, 2), dtype=np.float32)
    states, actions = torch.from_numpy(state), torch.from_numpy(action)
    length = NUM_STEPS // NUM_EPISODES
    ends = np.arange(length, NUM_STEPS + 1, length)
    windows = Windows({"state": states}, actions, ends, OBS_HORIZON, ACTION_HORIZON)
    past, future = np.arange(OBS_HORIZON), np.arange(ACTION_HORIZON)
    past_t, future_t = torch.from_numpy(past), torch.from_numpy(future)

    def draw() -> np.ndarray:
        return rng.integers(0, NUM_STEPS - ACTION_HORIZON, BATCH)

    def take() -> object:
        i = draw()[:, None]
        return np.take(state, i + past, axis=0), np.take(action, i + future, axis=0)

    def index() -> object:
        i = torch.from_numpy(draw())[:, None]
        return states[i + past_t], actions[i + future_t]

    def batch() -> object:
        return windows.batch(torch.from_numpy(draw()))

    return {"np.take": take, "torch indexing": index, "Windows.batch": batch}


def interleaved(functions: dict[str, Callable[[], object]], rounds: int, repeats: int) -> dict[str, float]:
    """Median microseconds per call."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            for _ in range(repeats):
                function()
            times[name].append((time.perf_counter() - start) / repeats * 1e6)
    return {name: statistics.median(values) for name, values in times.items()}


def open_times(store: Path, processes: int) -> list[float]:
    """Milliseconds from open to first batch, one per fresh process."""
    command = [sys.executable, "-c", OPEN, str(store)]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(processes)]
    return [float(run.stdout) for run in runs]


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=HUMAN, help="store with the keys state and action")
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    parser.add_argument("--dry-run", action="store_true", help="tiny sizes, to see that everything runs")
    args = parser.parse_args()
    rounds, repeats, processes = (1, 2, 1) if args.dry_run else (31, 200, 5)
    torch.set_num_threads(1)
    micros = interleaved(cases(), rounds, repeats)
    result: dict[str, Any] = {
        "command": " ".join(["python", *sys.argv]),
        "hardware": f"{platform.machine()}, 1 thread",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        "microseconds_per_batch": micros,
        "relative_to_take": {name: micros["np.take"] / value for name, value in micros.items()},
    }
    table = Table("256 windows", "us per batch", "windows/s", "relative to np.take")
    for name, value in micros.items():
        table.add_row(name, f"{value:.1f}", f"{BATCH / value * 1e6:,.0f}", f"{micros['np.take'] / value:.2f}")
    console = Console()
    console.print(table)
    if args.store.exists():
        times = open_times(args.store, processes)
        result["open_to_first_batch_ms"] = {"median": statistics.median(times), "all": times}
        spread = f"{min(times):.0f} .. {max(times):.0f}"
        console.print(f"open to first batch: {statistics.median(times):.0f} ms ({spread} in {len(times)} processes)")
    else:
        console.print(f"open to first batch: not measured, there is no {args.store} (see --store)")
    if args.out:
        args.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()

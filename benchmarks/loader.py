"""How fast training gets its windows: a batch beside plain gathers, and a store from open to first batch.

    python -m benchmarks.loader [--store X.zarr] [--out docs/results/speed.json]

Batches: 256 windows of 2 observations and 16 actions from 200 episodes of 125 steps, state 20, action 2, one
thread. The rivals gather as many rows at ready-made positions, without padding, mask or episodes. Rounds are
interleaved, so that other load on the machine hits all cases alike; the median is shown.

Opening: state and action of the store, from DemoStore.open to the first batch of 256, in fresh processes,
imports not counted.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import ACTION_HORIZON, OBS_HORIZON, in_turn, keep_part, make_windows, options, ratio
from robolearn import seeds

NUM_EPISODES, LENGTH, BATCH = 200, 125, 256
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


def make_cases() -> dict[str, Callable[[], object]]:
    """Each gathers one batch of random windows."""
    rng, windows = np.random.default_rng(seeds.FIXED), make_windows(20, episodes=NUM_EPISODES, length=LENGTH)
    states, actions = (windows.arrays()[key] for key in ("state", "action"))
    state, action = states.numpy(), actions.numpy()
    past, future = torch.arange(OBS_HORIZON), torch.arange(ACTION_HORIZON)

    def draw() -> np.ndarray:
        return rng.integers(0, NUM_EPISODES * LENGTH - ACTION_HORIZON, BATCH)

    def take() -> object:
        i = draw()[:, None]
        return np.take(state, i + past.numpy(), axis=0), np.take(action, i + future.numpy(), axis=0)

    def index() -> object:
        i = torch.from_numpy(draw())[:, None]
        return states[i + past], actions[i + future]

    def batch() -> object:
        return windows.batch(torch.from_numpy(draw()))

    return {"np.take": take, "torch indexing": index, "Windows.batch": batch}


def open_times(store: Path, processes: int) -> list[float]:
    """Milliseconds from open to first batch, one per fresh process."""
    command = [sys.executable, "-c", OPEN, str(store)]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(processes)]
    return [float(run.stdout) for run in runs]


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = options(__doc__)
    parser.add_argument("--store", type=Path, default=HUMAN, help="store with the keys state and action")
    args = parser.parse_args()
    rounds, calls, processes = (1, 2, 1) if args.dry_run else (31, 200, 5)
    torch.set_num_threads(1)
    times = in_turn(make_cases(), rounds, calls=calls, clock=time.perf_counter)
    micros = {name: 1e6 * statistics.median(values) for name, values in times.items()}
    shares = {name: ratio(times["np.take"], values) for name, values in times.items()}
    result: dict[str, Any] = {"seconds_per_batch": times, "relative_to_take": shares}
    for name, value in micros.items():
        print(f"{name:16}{value:8.1f} us{BATCH / value * 1e6:14,.0f} windows/s   {shares[name]:.2f} of np.take")
    if args.store.exists():
        opened = open_times(args.store, processes)
        result["open_to_first_batch_ms"] = {"median": statistics.median(opened), "all": opened}
        print(f"open to first batch: {statistics.median(opened):.0f} ms ({min(opened):.0f} .. {max(opened):.0f})")
    else:
        print(f"open to first batch: not measured, there is no {args.store} (see --store)")
    keep_part(args.out, "loader", result)


if __name__ == "__main__":
    main()

"""One point of an axis, in a process of its own: `python -m benchmarks.growth.point make|measure AXIS SIZE FOLDER`."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import torch

from benchmarks.growth.axes import AXES

LEAST = 0.2  # CPU time of what is timed [s]


def memory(name: str) -> int:
    """A number of /proc/self/status [bytes]; VmHWM is the peak of this process alone, unlike that of getrusage."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(f"{name}:")))


def measure(axis: str, size: int, folder: Path) -> dict[str, float]:
    """CPU time of starting up [s] and of an item [s], and by how much the peak of memory is above the imports [bytes].

    The first work warms up, and counts to the peak alone; then it is done again until it took long enough to be told.
    """
    before, began = memory("VmRSS"), time.process_time()
    work = AXES[axis].start(size, folder)
    started = time.process_time()
    work()
    items, warm = 0, time.process_time()
    while (spent := time.process_time() - warm) < LEAST:
        items += work()
    return {"start_s": started - began, "per_item_s": spent / items, "peak_bytes": memory("VmHWM") - before}


def main() -> None:
    """Make what is needed, or measure and print JSON."""
    what, axis, size, folder = sys.argv[1:]
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # zarr's threads wake each other faster there
    torch.set_num_threads(1)
    if what == "make":
        make = AXES[axis].make
        assert make
        make(int(size), Path(folder))
    else:
        print(json.dumps(measure(axis, int(size), Path(folder))))


if __name__ == "__main__":
    main()

"""Time of a training step on one thread over that on all cores; by default training takes a thread per two cores.

    python -m benchmarks.cores [--cases flow/mlp diffusion/unet] [--out docs/results/speed.json]

The steps are those of `benchmarks.products`, in the precision that training chooses. Time of day, so nothing else may
run: threads that wait for each other at barriers lose the more, the busier the machine is.
"""

from __future__ import annotations

import os
import statistics
import time

import torch

from benchmarks.common import in_turn, keep_part, options, ratio
from benchmarks.products import CASES, make_step

ROUNDS, CALLS = 15, 10


def main() -> None:
    """Measure in turn, and print a line for each case."""
    parser = options(__doc__)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    args = parser.parse_args()
    rounds, calls, cores = (1, 1, 2) if args.dry_run else (ROUNDS, CALLS, len(os.sched_getaffinity(0)))
    results = {}
    for name in args.cases:
        threads = {"one": 1, "all": cores}
        seconds = in_turn(
            dict.fromkeys(threads, make_step(name, "auto")),
            rounds,
            calls=calls,
            clock=time.perf_counter,
            prepare=lambda which, threads=threads: torch.set_num_threads(threads[which]),
        )
        results[name] = {"seconds": seconds, "gain": (gain := ratio(seconds["one"], seconds["all"]))}
        one, all_of_them = (1e3 * statistics.median(seconds[which]) for which in threads)
        print(f"{name:18} one thread {one:7.2f} ms, {cores} threads {all_of_them:7.2f} ms, gain {gain:.2f}", flush=True)
    keep_part(args.out, "cores", {"cores": cores, "cases": results})


if __name__ == "__main__":
    main()

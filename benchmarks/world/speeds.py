"""How long an import takes beside reading the same files alone, and in how much memory.

Four times are taken in turn, round by round, so that a busy machine slows all alike: `alone`, what the format's own
package takes to read everything; `import`, the whole import; `read`, the import's reading, nothing written; `write`,
writing the same store from arrays in memory. Ratios are of medians over rounds, with intervals of 95 % from resampled
rounds, of seconds on the clock and of seconds of the processor over all threads.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from robolearn.formats.format import ImportOptions, Recording
from robolearn.formats.registry import FORMATS
from robolearn.formats.transfer import import_demos, write_store
from robolearn.stats.bootstrap import Draws
from robolearn.stats.differences import paired_ratio

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
# The kernel's high-water mark of the process itself: ru_maxrss begins with that of the process that started it.
PEAK = """
import re, sys
from pathlib import Path
from robolearn.formats.transfer import import_demos
import_demos(sys.argv[1], sys.argv[2], sys.argv[3])
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""
Seconds = dict[str, dict[str, list[float]]]  # of a case, by a clock, per round


def measure(
    source: Path, kind: str, options: ImportOptions, alone: Callable[[], object], work: Path, rounds: int
) -> dict[str, Any]:
    """Seconds of the four, and how fast the import is: 1 where it takes as long as reading alone.

    Args:
        source: What is imported.
        kind: Its format.
        options: Of the import.
        alone: Reads the same by the format's own package.
        work: Folder to write in.
        rounds: After one to warm up.
    """
    recording = _recording(source, kind, options)
    ready = Recording(recording.attrs, list(recording.episodes))
    out = work / "out.zarr"
    cases: dict[str, Callable[[], object]] = {
        "alone": alone,
        "import": lambda: import_demos(source, out, kind, options),
        "read": lambda: [len(episode) for episode in _recording(source, kind, options).episodes],
        "write": lambda: write_store(ready, out),
    }
    seconds = _in_turn(cases, rounds, lambda: shutil.rmtree(out, ignore_errors=True))
    size = sum(sum(rows.nbytes for rows in (*e.obs.values(), e.actions)) for e in ready.episodes)
    ours = {name: {clock: _ratio(seconds, name, clock) for clock in CLOCKS} for name in ("import", "read", "write")}
    return {"bytes": size, "seconds": seconds, "speed": ours}


def _recording(source: Path, kind: str, options: ImportOptions) -> Recording:
    read = FORMATS[kind].read
    assert read is not None, kind
    return read(source, options)


def _in_turn(cases: Mapping[str, Callable[[], object]], rounds: int, prepare: Callable[[], object]) -> Seconds:
    seconds: Seconds = {name: {clock: [] for clock in CLOCKS} for name in cases}
    for number in range(rounds + 1):
        for name, case in cases.items():
            prepare()
            started = {clock: now() for clock, now in CLOCKS.items()}
            case()
            for clock, now in CLOCKS.items():
                if number:
                    seconds[name][clock].append(now() - started[clock])
    return seconds


def _ratio(seconds: Seconds, name: str, clock: str) -> list[float]:
    """Seconds of reading alone in those of a case: the median over rounds, and its interval."""
    first, second = (np.array(seconds[case][clock]) for case in ("alone", name))
    estimate = paired_ratio(first, second, Draws.resample(len(first), 1)).estimate
    return [estimate.value, estimate.low, estimate.high]


def describe(name: str, result: Mapping[str, Any]) -> str:
    """One line for people."""
    ours = result["speed"]["import"]
    shares = [f"{clock} {ours[clock][0]:.0%} ({ours[clock][1]:.0%} to {ours[clock][2]:.0%})" for clock in CLOCKS]
    medians = [f"{case} {1e3 * statistics.median(times['wall']):.0f}" for case, times in result["seconds"].items()]
    return f"{name}: {', '.join(shares)} of reading alone; ms: {', '.join(medians)}; {result['bytes'] / 1e6:.0f} MB"


def peak_mib(source: Path, kind: str, out: Path) -> float:
    """Largest memory of a process that imports, in MiB."""
    command = [sys.executable, "-c", PEAK, str(source), str(out), kind]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout) / 1024

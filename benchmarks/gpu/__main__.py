"""Everything that needs a real GPU, in one command of at most nine minutes that prints JSON.

    python -m benchmarks.gpu [--parts NAME ...] [--out docs/results/gpu.json]
    python -m benchmarks.gpu --device cpu --dry-run          # the same code in a minute, without a GPU

Parts: what agrees with the CPU (grid), training that is saved and resumed (resume), bfloat16 and torch.compile
(precision, compile), steps per second (speed), the same of steps that are repeated from a recording, and whether they
train alike (capture), the time of one plan (latency), training from images and rolling out (images), and the tests
marked gpu (tests). A part that fails says why, the others go on, and the command exits with 1.
The file is written after every part.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.common import options
from benchmarks.gpu.agreement import compiling, grid, precision, resume
from benchmarks.gpu.images import images
from benchmarks.gpu.speed import capture, image_speed, latency, speed
from benchmarks.gpu.study import DRY, Report, Size
from robolearn.config import write_json
from robolearn.report.facts import machine_facts
from robolearn.training.device import choose_device


def marked_tests(device: torch.device, size: Size) -> Report:
    """The tests that need a GPU; without one they skip, and say so."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", "-rs", "tests/gpu"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    lines = result.stdout.strip().splitlines() or [result.stderr.strip()]
    passed = result.returncode == 0 and (device.type != "cuda" or "skipped" not in lines[-1])
    return {"last_line": lines[-1], "tail": [] if passed else lines[-30:], "passed": passed}


PARTS: dict[str, Callable[[torch.device, Size], Report]] = {
    "grid": grid,
    "resume": resume,
    "precision": precision,
    "compile": compiling,
    "speed": speed,
    "capture": capture,
    "image_speed": image_speed,
    "latency": latency,
    "images": images,
    "tests": marked_tests,
}


def card(device: torch.device) -> str:
    """Name of the device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def main() -> int:
    """Run the parts, write the file after each, print it; return the exit status."""
    parser = options(__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    args = parser.parse_args()
    device = choose_device(args.device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    result: Report = {"card": card(device), **machine_facts(str(device)), "parts": {}}
    for name in args.parts:
        started = time.perf_counter()
        try:
            report = PARTS[name](device, DRY if args.dry_run else Size())
        except Exception:  # whatever it is, the other parts are worth their measurement
            report = {"passed": False, "error": traceback.format_exc().splitlines()[-12:]}
        result["parts"][name] = {**report, "seconds": round(time.perf_counter() - started, 1)}
        print(
            f"{name}: {'passed' if report['passed'] else 'FAILED'} in {result['parts'][name]['seconds']} s",
            file=sys.stderr,
        )
        if args.out:
            write_json(args.out, result)
    print(json.dumps(result, indent=1))
    return 0 if all(report["passed"] for report in result["parts"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())

"""A real LeRobot set, imported, trained on and compared with what was held out, a command each.

    python -m benchmarks.world.g1 SET [--steps 3000] [--work DIR] [--out docs/results/world.json]

SET is YifanTian07/G1-policy-train, v2.1: 100 teleoperated episodes of a Unitree G1 at 30 Hz, state 26, action 26; most
of its videos are missing, so it is imported without images. The default family and network are trained on 80 episodes
with default options; the other 20 are held out. Errors are mean absolute errors of the next action in the units of the
recording, per dimension and over all; intervals are over episodes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from itertools import chain
from pathlib import Path

from benchmarks.common import keep_part, options
from robolearn.evaluation.heldout import FILE

HELD_OUT = 0.2


def main() -> None:
    """Run the three commands, print what they print, write JSON."""
    parser = options(__doc__)
    parser.add_argument("set", type=Path, help="folder of the data set")
    parser.add_argument("--steps", type=int, default=3000, help="optimizer steps")
    parser.add_argument("--work", type=Path, help="where store and run go; by default a folder that is removed")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = args.work or Path(scratch)
        store, run = work / "g1.zarr", work / "g1"
        steps = 2 if args.dry_run else args.steps
        flags = {"--dataset.path": store, "--dataset.validation-fraction": HELD_OUT, "--steps": steps, "--out": run}
        commands = {
            "import": ["-m", "robolearn", "import", "lerobot", args.set, "--out", store, "--cameras", "none"],
            "train": ["train.py", *chain(*flags.items()), "--device", "cpu", "--no-wandb"],
            "compare": ["-m", "robolearn", "heldout", run, "--device", "cpu"],
        }
        seconds = {}
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, *map(str, command)], check=True)
            seconds[name] = time.perf_counter() - started
        heldout = json.loads((run / FILE).read_text())
    keep_part(args.out, "g1", {"steps": steps, "seconds": seconds, "heldout": heldout})


if __name__ == "__main__":
    main()

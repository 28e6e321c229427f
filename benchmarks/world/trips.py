"""What is left of demonstrations after a trip out in one format, in again, out in another, and in again.

    python -m benchmarks.world.trips --out docs/results/world.json

Every pair of the formats that are written, images with every pixel as it is. What other projects' own readers and
writers make of them is asked in the tests of `tests/formats/peers`, which docs/testing.md says how to prepare; here
they are run and the outcome of each is kept.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from benchmarks.common import keep_part, options
from robolearn import DemoStore, DemoWriter, Episode, StoreAttrs, seeds
from robolearn.formats.format import ExportOptions
from robolearn.formats.registry import FORMATS
from robolearn.formats.transfer import export_demos, import_demos

PEERS = "tests/formats/peers"


def main() -> None:
    """Make all trips, let the others read, keep both."""
    parser = options(__doc__)
    given = parser.parse_args()
    written = [name for name, entry in FORMATS.items() if entry.write is not None]
    pairs = list(product(written, repeat=2))[: 1 if given.dry_run else None]
    differences: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        source = write_store(Path(scratch) / "source.zarr")
        for number, (first, second) in enumerate(pairs):
            store = source
            for name in (first, second):
                store = travel(store, name, Path(scratch) / f"{number}_{store.stem}")
            differences[f"{first}, {second}"] = compare(source, store)
            print(first, second, differences[f"{first}, {second}"], flush=True)
        peers = {} if given.dry_run else ask_peers(Path(scratch) / "peers.xml")
    keep_part(given.out, "trips", {"differences": differences, "peers": peers})


def write_store(path: Path) -> Path:
    """Five episodes of float32, float64, images and rewards."""
    rng, attrs = np.random.default_rng(seeds.FIXED), StoreAttrs(control_dt=0.05, tasks=("push it",))
    with DemoWriter.create(path, attrs=attrs) as store:
        for steps in (20, 1, 35, 7, 50):
            obs = {
                "state": rng.normal(size=(steps, 6)).astype(np.float32),
                "wrench": rng.normal(size=(steps, 3)),
                "top": rng.integers(0, 256, (steps, 24, 32, 3), np.uint8),
                "reward": rng.normal(size=(steps, 1)),
            }
            store.append(Episode(obs, rng.normal(size=(steps, 4)).astype(np.float32), {"task": 0}))
    return path


def travel(store: Path, name: str, folder: Path) -> Path:
    """Out in a format and in again."""
    export_demos(store, folder / "out", name, ExportOptions(images="exact"))
    import_demos(folder / "out", folder / "in.zarr", name)
    return folder / "in.zarr"


def compare(one: Path, two: Path) -> dict[str, float]:
    """Key -> largest difference of a number; of keys, shapes and lengths none may differ."""
    first, second = DemoStore.open(one), DemoStore.open(two)
    assert first.keys == second.keys
    assert first.shapes == second.shapes
    assert first.dtypes == second.dtypes
    assert first.episode_ends.tolist() == second.episode_ends.tolist()
    return {key: float(np.abs(first.read(key) * 1.0 - second.read(key) * 1.0).max()) for key in first.keys}


def ask_peers(report: Path) -> dict[str, str]:
    """Test -> "passed", "failed" or "skipped"."""
    subprocess.run([sys.executable, "-m", "pytest", "-q", "-m", "slow", PEERS, f"--junitxml={report}"], check=False)
    outcomes = {}
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = {child.tag for child in case} & {"failure", "error", "skipped"}
        name = f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}"
        outcomes[name] = "passed" if not kinds else "skipped" if kinds == {"skipped"} else "failed"
    return outcomes


if __name__ == "__main__":
    main()

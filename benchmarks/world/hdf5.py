"""How fast files of HDF5 become stores, beside h5py alone reading every array of the same files; and in what memory.

    python -m benchmarks.world.hdf5 [--cases NAME ...] [--rounds 5] [--out docs/results/world.json]

Sets like those that people have: low-dimensional robomimic (200 demonstrations of about 150 steps, 10 keys), images
of 84 x 84 from two cameras in robomimic (20 demonstrations of 100 steps, plain and gzip), ACT (4 episodes of 100
steps, 240 x 320, two cameras), Minari (500 episodes of 200 steps). Each case runs in a process of its own, imports not
counted, h5py and robolearn in turn; the files have been read once before. The peak of memory is the process's, of the
set and of one with 4 times as many episodes.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks.common import keep_part, options
from robolearn import seeds

PLAIN = """
import json, resource, sys, time
from pathlib import Path
import h5py, numpy
source, out = Path(sys.argv[1]), Path(sys.argv[2])
start, total = time.perf_counter(), 0
for path in sorted(source.rglob("*.hdf5")) if source.is_dir() else [source]:
    with h5py.File(path, "r") as file:
        def read(name, item):
            global total
            if isinstance(item, h5py.Dataset):
                total += item[()].nbytes
        file.visititems(read)
seconds = time.perf_counter() - start
"""
OURS = """
import json, resource, sys, time
from pathlib import Path
import h5py, numpy
from robolearn.data.store import DemoStore
from robolearn.formats.transfer import import_demos
source, out = Path(sys.argv[1]), Path(sys.argv[2])
start = time.perf_counter()
import_demos(source, out)
seconds = time.perf_counter() - start
store = DemoStore.open(out)
total = store.num_steps
"""
END = """
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": seconds, "peak_mib": peak, "total": total}))
"""
ROUNDS, LARGER = 5, 4


def robomimic_low_dim(folder: Path, size: float) -> Path:
    """As lift/ph/low_dim.hdf5."""
    return _robomimic(folder, round(200 * size), 150, {f"key_{i}": (7,) for i in range(10)}, None)


def robomimic_images(folder: Path, size: float) -> Path:
    """As can/ph/image.hdf5."""
    keys = {"agentview_image": (84, 84, 3), "robot0_eye_in_hand_image": (84, 84, 3), "robot0_eef_pos": (3,)}
    return _robomimic(folder, round(20 * size), 100, keys, None)


def robomimic_gzip(folder: Path, size: float) -> Path:
    """The same, compressed."""
    keys = {"agentview_image": (84, 84, 3), "robot0_eye_in_hand_image": (84, 84, 3), "robot0_eef_pos": (3,)}
    return _robomimic(folder, round(20 * size), 100, keys, "gzip")


def act_images(folder: Path, size: float) -> Path:
    """As sim_transfer_cube of ACT, at half its resolution."""
    rng = np.random.default_rng(seeds.FIXED)
    for i in range(max(1, round(4 * size))):
        with h5py.File(folder / f"episode_{i}.hdf5", "w") as file:
            for name in ("observations/qpos", "observations/qvel", "action"):
                file[name] = rng.normal(size=(100, 14))
            for name in ("top", "angle"):
                file.create_dataset(f"observations/images/{name}", data=_frames(rng, 100, (240, 320, 3)))
    return folder


def minari(folder: Path, size: float) -> Path:
    """As a set of MuJoCo's locomotion."""
    rng = np.random.default_rng(seeds.FIXED)
    (folder / "data").mkdir()
    with h5py.File(folder / "data" / "main_data.hdf5", "w") as file:
        for i in range(round(500 * size)):
            episode = file.create_group(f"episode_{i}")
            episode["observations"], episode["actions"] = rng.normal(size=(201, 17)), rng.normal(size=(200, 6))
            episode["rewards"], episode["truncations"] = rng.normal(size=200), np.arange(200) == 199
            episode["terminations"] = np.zeros(200, bool)
    return folder


def _robomimic(folder: Path, count: int, steps: int, keys: dict[str, tuple[int, ...]], packed: str | None) -> Path:
    rng, path = np.random.default_rng(seeds.FIXED), folder / "demos.hdf5"
    with h5py.File(path, "w") as file:
        for i in range(max(1, count)):
            length = steps + i % 11
            demo = file.create_group(f"data/demo_{i}")
            demo.attrs["num_samples"] = length
            demo["actions"], demo["states"] = rng.normal(size=(length, 7)), rng.normal(size=(length, 32))
            demo["rewards"], demo["dones"] = np.zeros(length), np.zeros(length, np.int64)
            for key, shape in keys.items():
                rows = _frames(rng, length, shape) if len(shape) == 3 else rng.normal(size=(length, *shape))
                demo.create_dataset(f"obs/{key}", data=rows, compression=packed)
    return path


def _frames(rng: np.random.Generator, steps: int, shape: tuple[int, ...]) -> np.ndarray:
    """Images of patches: compressible as rendered ones are, each another one."""
    coarse = rng.integers(0, 256, (steps, shape[0] // 4, shape[1] // 4, 3), np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


CASES: dict[str, Callable[[Path, float], Path]] = {
    "robomimic low-dim": robomimic_low_dim,
    "robomimic images": robomimic_images,
    "robomimic images, gzip": robomimic_gzip,
    "ACT images": act_images,
    "Minari low-dim": minari,
}


def measure(case: str, size: float, rounds: int) -> dict[str, Any]:
    """Times of both in turn, and memory of both, of the set and of one with more episodes."""
    result: dict[str, Any] = {}
    for factor in (1, LARGER):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "in").mkdir()
            source = CASES[case](folder / "in", size * factor)
            runs: dict[str, list[dict[str, float]]] = {"h5py": [], "robolearn": []}
            _run(PLAIN, source, folder / "out")  # into the cache of files
            for i in range(rounds if factor == 1 else 1):
                runs["h5py"].append(_run(PLAIN, source, folder / "out"))
                runs["robolearn"].append(_run(OURS, source, folder / f"out{i}"))
        result[f"x{factor}"] = runs
    seconds = {who: statistics.median(run["seconds"] for run in runs) for who, runs in result["x1"].items()}
    peaks = [result[f"x{factor}"]["robolearn"][0]["peak_mib"] for factor in (1, LARGER)]
    return {**result, "speed": seconds["h5py"] / seconds["robolearn"], "peak_mib": peaks}


def _run(script: str, source: Path, out: Path) -> dict[str, float]:
    command = [sys.executable, "-c", script + END, str(source), str(out)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Measure all cases."""
    parser = options(__doc__)
    parser.add_argument("--cases", nargs="+", choices=tuple(CASES), default=list(CASES))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    size, rounds = (0.02, 1) if given.dry_run else (1.0, given.rounds)
    cases = given.cases[:1] if given.dry_run else given.cases
    results = {case: measure(case, size, rounds) for case in cases}
    for case, one in results.items():
        small, large = one["peak_mib"]
        print(
            f"{case:24} {one['speed']:6.0%} of h5py, peak {small:.0f} MiB, with {LARGER} times as many {large:.0f} MiB"
        )
    keep_part(given.out, "hdf5", {"cases": results})


if __name__ == "__main__":
    main()

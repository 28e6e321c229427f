"""How fast files of HDF5 become stores, beside h5py alone reading every array of the same files; and in what memory.

    python -m benchmarks.world.hdf5 [--cases NAME ...] [--rounds 9] [--out docs/results/world.json]

Sets like those that people have: low-dimensional robomimic (200 demonstrations of about 150 steps, 10 keys), images
of 84 x 84 from two cameras in robomimic (20 demonstrations of 100 steps, plain and gzip), ACT (4 episodes of 100
steps, 240 x 320, two cameras), Minari (500 episodes of 200 steps). What is timed is said in benchmarks.world.speeds;
the files have been read once before. The peak of memory is of a process of its own, for the set and for one with 4
times as many episodes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks.common import keep_part, options
from benchmarks.world.speeds import describe, measure, peak_mib
from robolearn import seeds
from robolearn.formats.format import ImportOptions

ROUNDS, LARGER = 9, 4
Make = Callable[[Path, float], Path]


def read_alone(source: Path) -> int:
    """Every array of a file or of a folder of them, as one would by hand, and how many bytes they have."""
    sizes: list[int] = []

    def read(_: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            sizes.append(item[()].nbytes)

    for path in sorted(source.rglob("*.hdf5")) if source.is_dir() else [source]:
        with h5py.File(path, "r") as file:
            file.visititems(read)
    return sum(sizes)


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


CASES: dict[str, tuple[str, Make]] = {
    "robomimic low-dim": ("robomimic", robomimic_low_dim),
    "robomimic images": ("robomimic", robomimic_images),
    "robomimic images, gzip": ("robomimic", robomimic_gzip),
    "ACT images": ("act", act_images),
    "Minari low-dim": ("minari", minari),
}


def run(case: str, size: float, rounds: int) -> dict[str, Any]:
    """Times of a set, and memory of it and of one with more episodes."""
    (kind, make), result, peaks = CASES[case], {}, []
    for factor in (1, LARGER):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "in").mkdir()
            source = make(folder / "in", size * factor)
            if factor == 1:
                result = measure(source, kind, ImportOptions(), partial(read_alone, source), folder, rounds)
            peaks.append(peak_mib(source, kind, folder / "peak.zarr"))
    return {**result, "peak_mib": peaks}


def main() -> None:
    """Measure all cases."""
    parser = options(__doc__)
    parser.add_argument("--cases", nargs="+", choices=tuple(CASES), default=list(CASES))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    size, rounds = (0.02, 1) if given.dry_run else (1.0, given.rounds)
    results = {}
    for case in given.cases[:1] if given.dry_run else given.cases:
        results[case] = run(case, size, rounds)
        small, large = results[case]["peak_mib"]
        print(describe(case, results[case]))
        print(f"  peak {small:.0f} MiB, with {LARGER} times as many episodes {large:.0f} MiB", flush=True)
    keep_part(given.out, "hdf5", {"cases": results, "larger": LARGER})


if __name__ == "__main__":
    main()

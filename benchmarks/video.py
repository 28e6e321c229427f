"""How fast frames come out of videos in random order, beside decoding all of them and beside decoded ones in memory.

    python -m benchmarks.video [--set DIR] [--cameras NAME ...] [--image-size H W] [--out FILE.json]

A data set of LeRobot is imported twice, with its videos kept and decoded; by default one is made, of moving noise at
480 x 640 in H.264 with a key frame at every other frame, as lerobot writes it. Taken in turn, so that other load on the
machine hits all cases alike, and the median shown:

    memory      batches of random windows of the decoded store, which is in memory
    streamed    the same windows out of the videos, of which nothing stays in memory
    kept half   the same with room for half of the frames, once it is full
    sequential  all frames from the first to the last, which bounds what videos can give

Frames are counted as windows show them: two steps of a window are two frames, of which neighbors share a decoding.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import ACTION_HORIZON, OBS_HORIZON, in_turn, keep, options
from robolearn import seeds
from robolearn.data.attrs import StoreAttrs
from robolearn.data.store import DemoStore
from robolearn.data.windows import Windows
from robolearn.data.writer import DemoWriter
from robolearn.formats.format import ImportOptions
from robolearn.formats.transfer import export_demos, import_demos
from robolearn.types import Episode

SIZE, DRY_SIZE = (480, 640), (48, 64)
NUM_EPISODES, LENGTH, BATCH = 4, 60, 32


def make_set(folder: Path, size: tuple[int, int], episodes: int, length: int) -> Path:
    """A data set of noise that moves, in videos as lerobot writes them."""
    rng = np.random.default_rng(seeds.FIXED)
    store = DemoWriter.create(folder / "made.zarr", attrs=StoreAttrs(control_dt=1 / 30, obs_keys=("state", "camera")))
    for _ in range(episodes):
        cells = rng.integers(0, 256, (size[0] // 16, size[1] // 16, 3), np.uint8)
        image = cells.repeat(16, axis=0).repeat(16, axis=1)
        images = np.stack([np.roll(image, 2 * step, axis=1) for step in range(length)])
        numbers = rng.normal(size=(2, length, 2)).astype(np.float32)
        store.append(Episode({"state": numbers[0], "camera": images}, numbers[1]))
    export_demos(store.path, folder / "set", "lerobot")
    return folder / "set"


def import_both(source: Path, folder: Path, chosen: ImportOptions) -> tuple[DemoStore, DemoStore]:
    """The stores with kept and with decoded videos."""
    for video in ("keep", "decode"):
        import_demos(source, folder / f"{video}.zarr", options=replace(chosen, video=video))
    return DemoStore.open(folder / "keep.zarr"), DemoStore.open(folder / "decode.zarr")


def bytes_of(store: DemoStore) -> int:
    """Of all files of a store."""
    return sum(file.stat().st_size for file in store.path.rglob("*") if file.is_file())


def make_cases(kept: DemoStore, decoded: DemoStore) -> tuple[dict[str, Callable[[], object]], dict[str, int]]:
    """What is timed, and how many frames each gives."""
    keys = kept.attrs.obs_keys or ()
    cameras = [key for key in keys if len(kept.shapes[key]) == 3]
    numbers = sum(4 * kept.num_steps * math.prod(kept.shapes[key]) for key in keys if key not in cameras)
    images = sum(kept.num_steps * math.prod(kept.shapes[key]) for key in cameras)
    rooms = {"memory": numbers + images, "streamed": numbers, "kept half": numbers + images // 2}
    rng = np.random.default_rng(seeds.FIXED)
    cases: dict[str, Callable[[], object]] = {}
    for name, room in rooms.items():
        store = decoded if name == "memory" else kept
        windows = Windows.from_store(store, keys, OBS_HORIZON, ACTION_HORIZON, max_resident_bytes=room)
        if name == "kept half":
            order = torch.Generator().manual_seed(seeds.FIXED)
            for index in torch.randperm(len(windows), generator=order).split(BATCH):
                windows.batch(index)
        cases[name] = _drawn(windows, rng)
    cases["sequential"] = lambda: [kept.read(key) for key in cameras]
    shown = dict.fromkeys(rooms, BATCH * OBS_HORIZON * len(cameras))
    return cases, {**shown, "sequential": kept.num_steps * len(cameras)}


def _drawn(windows: Windows, rng: np.random.Generator) -> Callable[[], object]:
    return lambda: windows.batch(torch.from_numpy(rng.integers(0, len(windows), BATCH)))


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = options(__doc__)
    parser.add_argument("--set", type=Path, help="data set of LeRobot; by default one is made")
    parser.add_argument("--cameras", nargs="+", help="those of them that are read; by default all")
    parser.add_argument("--image-size", type=int, nargs=2, help="height and width that frames are scaled to")
    args = parser.parse_args()
    torch.set_num_threads(1)
    size, episodes, length, rounds = (DRY_SIZE, 2, 20, 1) if args.dry_run else (SIZE, NUM_EPISODES, LENGTH, 3)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = args.set or make_set(folder, size, episodes, length)
        image_size = tuple(args.image_size) if args.image_size else None
        cameras = tuple(args.cameras) if args.cameras else None
        kept, decoded = import_both(source, folder, ImportOptions(cameras=cameras, image_size=image_size))
        sizes = {"keep": bytes_of(kept), "decode": bytes_of(decoded)}
        cases, frames = make_cases(kept, decoded)
        times = in_turn(cases, rounds, clock=time.perf_counter)
    rates = {case: frames[case] / statistics.median(seconds) for case, seconds in times.items()}
    for case, rate in rates.items():
        print(f"{case:12}{rate:12,.0f} frames/s{rate / rates['sequential']:9.2f} of sequential")
    print(f"videos take {sizes['keep'] / 1e6:.1f} MB, decoded {sizes['decode'] / 1e6:.1f} MB")
    result: dict[str, Any] = {"frames_per_second": rates, "bytes": sizes}
    keep(args.out, result)


if __name__ == "__main__":
    main()

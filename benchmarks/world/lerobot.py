"""How fast a LeRobot set gets in, beside reading the same files by pyarrow and PyAV alone, and in how much memory.

    python -m benchmarks.world.lerobot [SET] [--rounds 9] [--out docs/results/world.json]

SET is that of benchmarks.world.g1: all its 100 tables are imported without images, beside pyarrow.parquet.read_table;
and with the camera of which one episode has its video (AV1, 480 x 640), beside PyAV decoding it to RGB with as many
threads. Without SET one of 40 episodes of 240 x 320 is made, v3.0. What is timed is said in benchmarks.world.speeds.
Memory: the largest of a process that imports one episode with its video, or the made set, twice and eight times over:
with two there is one to be written while the next is read.
"""

from __future__ import annotations

import shutil
import tempfile
from functools import partial
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq

from benchmarks.common import keep_part, options
from benchmarks.world.speeds import describe, measure, peak_mib
from robolearn import seeds
from robolearn.data.attrs import StoreAttrs
from robolearn.data.writer import DemoWriter
from robolearn.formats.format import ImportOptions
from robolearn.formats.transfer import export_demos
from robolearn.types import Episode

KIND, TIMES = "lerobot", (2, 8)


def read_tables(files: list[Path]) -> None:
    """As one would by hand."""
    for file in files:
        pq.read_table(file)


def decode(videos: list[Path]) -> None:
    """All frames of a video, kept together as an import keeps them."""
    for video in videos:
        with av.open(str(video)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert frames


def make_set(folder: Path, episodes: int, side: int) -> Path:
    """A set with smooth images that move and a little noise, as cameras have it."""
    rng, steps = np.random.default_rng(seeds.FIXED), 50
    with DemoWriter.create(folder / "source.zarr", attrs=StoreAttrs(control_dt=0.05, obs_keys=("top", "state"))) as out:
        for _ in range(episodes):
            phase = np.add.outer(np.arange(steps), np.add.outer(np.arange(side), np.arange(side * 4 // 3)))
            frames = (phase % 200)[..., None] + rng.integers(0, 20, (*phase.shape, 3))
            state = rng.normal(size=(steps, 14)).astype(np.float32)
            out.append(Episode({"top": frames.astype(np.uint8), "state": state}, state))
    export_demos(folder / "source.zarr", folder / "set", KIND)
    return folder / "set"


def repeat_episode(source: Path, out: Path, times: int) -> Path:
    """A set of the one episode that has its video, several times over."""
    video = next(source.glob("videos/*/*/*.mp4"))
    table = next(source.glob(f"data/*/{video.stem}.parquet"))
    (out / "meta").mkdir(parents=True)
    for name in ("info.json", "tasks.jsonl"):
        shutil.copyfile(source / "meta" / name, out / "meta" / name)
    for number in range(times):
        for file in (video, table):
            copy = out / file.relative_to(source).with_stem(f"episode_{number:06d}")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
    return out


def main() -> None:
    """Measure, print a line each, write JSON."""
    parser = options(__doc__)
    parser.add_argument("set", type=Path, nargs="?", help="folder of the data set; by default one is made")
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    count, side, rounds = (2, 32, 1) if args.dry_run else (40, 240, args.rounds)
    with tempfile.TemporaryDirectory() as scratch:
        work, peaks = Path(scratch), []
        for times in TIMES:
            folder = work / str(times)
            folder.mkdir()
            data = (
                repeat_episode(args.set, folder / "set", times) if args.set else make_set(folder, count * times, side)
            )
            peaks.append(peak_mib(data, KIND, folder / "peak.zarr"))
        source = args.set or work / str(TIMES[0]) / "set"
        tables, videos = sorted(source.glob("data/*/*.parquet")), sorted(source.glob("videos/**/*.mp4"))
        cameras = {path.relative_to(source / "videos").parts[0 if args.set is None else 1] for path in videos}
        wanted = {
            "numbers": (ImportOptions(cameras=("none",)), partial(read_tables, tables)),
            "video": (ImportOptions(cameras=tuple(cameras)), partial(decode, videos)),
        }
        results = {name: measure(source, KIND, *case, work, rounds) for name, case in wanted.items()}
    for name, result in results.items():
        print(describe(name, result))
    results["video"]["peak_mib"] = peaks
    print(f"  peak {peaks[0]:.0f} MiB, with 4 times as many episodes {peaks[1]:.0f} MiB")
    keep_part(args.out, "lerobot", {"cases": results})


if __name__ == "__main__":
    main()

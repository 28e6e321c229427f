"""How fast a LeRobot set gets in, beside reading the same files by pyarrow and PyAV alone, and in how much memory.

    python -m benchmarks.world.lerobot SET [--out docs/results/world.json]

SET is that of benchmarks.world.g1. Numbers: all 100 tables, imported, and read by pyarrow.parquet.read_table and by
ParquetFile.read. Video: the one episode that has its video (AV1, 480 x 640), imported, and decoded to RGB by PyAV. An
import also writes the store, compressed. Seconds are CPU time of all threads, rounds are interleaved, medians are
shown. Memory: the largest of a process that imports that episode's table and video once and four times over.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import av
import pyarrow.parquet as pq

from benchmarks.common import in_turn, keep_part, options
from robolearn.formats.format import ImportOptions
from robolearn.formats.transfer import import_demos

PEAK = """
import resource, sys
from robolearn.formats.transfer import import_demos
import_demos(sys.argv[1], sys.argv[2], "lerobot")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def import_anew(source: Path, out: Path, cameras: tuple[str, ...]) -> None:
    """Import where a store may be from before."""
    shutil.rmtree(out, ignore_errors=True)
    import_demos(source, out, "lerobot", ImportOptions(cameras=cameras))


def read_tables(files: list[Path]) -> None:
    """As one would by hand."""
    for file in files:
        pq.read_table(file)


def read_files(files: list[Path]) -> None:
    """Without what a set of files needs."""
    for file in files:
        pq.ParquetFile(file).read(use_threads=False)


def decode(video: Path) -> None:
    """All frames, kept together as an import keeps them."""
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert frames


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


def peaks(source: Path, work: Path) -> dict[str, float]:
    """Largest memory of an import [MB] by how many times over the episode is there."""
    found = {}
    for times in (1, 4):
        data = repeat_episode(source, work / f"times_{times}", times)
        command = [sys.executable, "-c", PEAK, str(data), str(work / f"{times}.zarr")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[str(times)] = int(done.stdout) / 1024
    return found


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = options(__doc__)
    parser.add_argument("set", type=Path, help="folder of the data set")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    files, video = sorted(args.set.glob("data/*/*.parquet")), next(args.set.glob("videos/*/*/*.mp4"))
    with tempfile.TemporaryDirectory() as scratch:
        work, rounds = Path(scratch), 1 if args.dry_run else args.rounds
        camera = video.parent.name
        numbers: dict[str, Callable[[], None]] = {
            "import": partial(import_anew, args.set, work / "x.zarr", ("none",)),
            "read_table": partial(read_tables, files),
            "ParquetFile.read": partial(read_files, files),
        }
        videos: dict[str, Callable[[], None]] = {
            "import": partial(import_anew, args.set, work / "y.zarr", (camera,)),
            "PyAV": partial(decode, video),
        }
        seconds = {"numbers": in_turn(numbers, rounds), "video": in_turn(videos, rounds)}
        memory = peaks(args.set, work)
    shares = {}
    for kind, cases in seconds.items():
        medians = {name: statistics.median(times) for name, times in cases.items()}
        shares[kind] = {name: value / medians["import"] for name, value in medians.items() if name != "import"}
        print(kind, *(f"{name} {1e3 * value:.0f} ms" for name, value in medians.items()), json.dumps(shares[kind]))
    print("largest memory [MB]", memory)
    keep_part(args.out, "lerobot", {"seconds": seconds, "shares": shares, "peak_mb": memory})


if __name__ == "__main__":
    main()

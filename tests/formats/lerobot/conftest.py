"""Small LeRobot data sets as the releases of lerobot lay them out, made by pyarrow and PyAV alone."""

import io
import json
from fractions import Fraction

import numpy as np
import pytest

pa = pytest.importorskip("pyarrow", reason="needs the extra formats")
pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra formats")

FPS = 10
DATA = {
    "v2.1": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
    "v3.0": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
}
VIDEOS = {
    "v2.1": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    "v3.0": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
}


def level(episode, step):
    """The gray of a test frame, far enough from the others to survive a codec."""
    return 20 + 40 * episode + 5 * step


def frames_of(episode, steps, height=16, width=24):
    gray = np.array([level(episode, step) for step in range(steps)], np.uint8)
    return np.broadcast_to(gray[:, None, None, None], (steps, height, width, 3)).copy()


def write_video(path, frames, fps=FPS, codec="libx264", pix_fmt="yuv420p", pts=None, options=None):
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=fps, options=options or {"crf": "1", "g": "4"})
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], pix_fmt
        for i, frame in enumerate(frames):
            made = av.VideoFrame.from_ndarray(frame, format="rgb24" if frame.ndim == 3 else "gray16le")
            made.pts, made.time_base = i if pts is None else pts[i], Fraction(1, fps)
            container.mux(stream.encode(made))
        container.mux(stream.encode())
    return path


def png(array, mode=None):
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(array, mode).save(buffer, "PNG")
    return buffer.getvalue()


def fixed(array):
    """A column of fixed-size lists, or of numbers."""
    kind = pa.from_numpy_dtype(array.dtype)
    for size in reversed(array.shape[1:]):
        kind = pa.list_(kind, size)
    return pa.array(array.tolist(), kind)


def lists(array):
    """A column of lists of no fixed size."""
    kind = pa.from_numpy_dtype(array.dtype)
    for _ in array.shape[1:]:
        kind = pa.list_(kind)
    return pa.array(array.tolist(), kind)


class Set:
    """A data set being made.

    Attributes:
        rows: Column -> one array per episode.
        tasks: Text of each episode.
    """

    def __init__(self, root, version="v2.1", lengths=(4, 6, 3), seed=0):
        rng = np.random.default_rng(seed)
        self.root, self.version, self.lengths = root, version, lengths
        self.numbers = list(range(len(lengths)))
        self.rows = {
            "observation.state": [rng.normal(size=(n, 3)).astype(np.float32) for n in lengths],
            "action": [rng.normal(size=(n, 2)).astype(np.float32) for n in lengths],
        }
        self.columns = {}  # column -> how it is made, by default `fixed`
        self.features = {}  # further entries of info.json
        self.info = {}
        self.tasks = ["lift"] * len(lengths)
        self.cameras = {}  # camera -> frames per episode
        self.pictures = {}  # column -> encoded images per episode
        self.extra = {}  # further facts of episodes, name -> one per episode
        self.per_file = len(lengths)
        self.start = 0.0  # time of the first step

    def table(self, episode):
        n = self.lengths[episode]
        first = sum(self.lengths[:episode])
        columns = {name: self.columns.get(name, fixed)(rows[episode]) for name, rows in self.rows.items()}
        for name, images in self.pictures.items():
            columns[name] = pa.array([{"bytes": content, "path": None} for content in images[episode]])
        texts = sorted(set(self.tasks))
        whole = {
            "timestamp": (self.start + np.arange(n) / FPS).astype(np.float32),
            "frame_index": np.arange(n),
            "episode_index": np.full(n, self.numbers[episode]),
            "index": np.arange(first, first + n),
            "task_index": np.full(n, texts.index(self.tasks[episode])),
        }
        return pa.table({**columns, **{name: pa.array(rows) for name, rows in whole.items() if name not in columns}})

    def describe(self):
        features = {
            name: {"dtype": str(rows[0].dtype), "shape": list(rows[0].shape[1:]) or [1], "names": None}
            for name, rows in self.rows.items()
        }
        for kind, cameras in (("video", self.cameras), ("image", self.pictures)):
            features |= {name: {"dtype": kind, "shape": [16, 24, 3], "names": None} for name in cameras}
        return {
            "codebase_version": self.version,
            "robot_type": "arm",
            "total_episodes": len(self.lengths),
            "total_frames": sum(self.lengths),
            "chunks_size": 1000,
            "fps": FPS,
            "splits": {"train": f"0:{len(self.lengths)}"},
            "data_path": DATA[self.version],
            "video_path": VIDEOS[self.version],
            "features": {**features, **self.features},
            **self.info,
        }

    def write(self):
        (self.root / "meta").mkdir(parents=True)
        (self.root / "meta" / "info.json").write_text(json.dumps(self.describe()))
        (self._write_v3 if self.version == "v3.0" else self._write_v2)()
        return self.root

    def _write_v2(self):
        texts = sorted(set(self.tasks))
        lines = [{"task_index": i, "task": text} for i, text in enumerate(texts)]
        (self.root / "meta" / "tasks.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        facts = []
        for i, number in enumerate(self.numbers):
            path = self.root / DATA["v2.1"].format(episode_chunk=0, episode_index=number)
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(self.table(i), path)
            own = {name: values[i] for name, values in self.extra.items()}
            facts.append({"episode_index": number, "tasks": [self.tasks[i]], "length": self.lengths[i], **own})
            for camera, frames in self.cameras.items():
                name = VIDEOS["v2.1"].format(episode_chunk=0, video_key=camera, episode_index=number)
                write_video(self.root / name, frames[i])
        (self.root / "meta" / "episodes.jsonl").write_text("".join(json.dumps(fact) + "\n" for fact in facts))

    def _write_v3(self):
        texts, facts = sorted(set(self.tasks)), []
        for file, first in enumerate(range(0, len(self.lengths), self.per_file)):
            group = range(first, min(first + self.per_file, len(self.lengths)))
            path = self.root / DATA["v3.0"].format(chunk_index=0, file_index=file)
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.concat_tables([self.table(i) for i in group]), path)
            for camera, frames in self.cameras.items():
                name = VIDEOS["v3.0"].format(chunk_index=0, video_key=camera, file_index=file)
                write_video(self.root / name, np.concatenate([frames[i] for i in group]))
            begin = 0
            for i in group:
                fact = {"episode_index": self.numbers[i], "tasks": [self.tasks[i]], "length": self.lengths[i]}
                fact |= {"data/chunk_index": 0, "data/file_index": file}
                for camera in self.cameras:
                    begins, ends = begin / FPS, (begin + self.lengths[i]) / FPS
                    values = {"chunk_index": 0, "file_index": file, "from_timestamp": begins, "to_timestamp": ends}
                    fact |= {f"videos/{camera}/{name}": value for name, value in values.items()}
                begin += self.lengths[i]
                facts.append({**fact, **{name: values[i] for name, values in self.extra.items()}})
        folder = self.root / "meta" / "episodes" / "chunk-000"
        folder.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(facts), folder / "file-000.parquet")
        table = pa.table({"task_index": range(len(texts)), "__index_level_0__": texts})
        pq.write_table(table, self.root / "meta" / "tasks.parquet")


@pytest.fixture
def make_set(tmp_path):
    """A function that begins a data set; `write` finishes it."""
    return lambda version="v2.1", lengths=(4, 6, 3), name="source": Set(tmp_path / name, version, lengths)


@pytest.fixture
def kit():
    """What data sets are made of."""
    return {
        "fixed": fixed,
        "lists": lists,
        "png": png,
        "frames_of": frames_of,
        "write_video": write_video,
        "level": level,
    }

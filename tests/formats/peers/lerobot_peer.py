"""Run by a python that has lerobot 0.4, never by the tests' own: lerobot_peer.py {read,write,convert} SOURCE TARGET.

read     opens a data set by LeRobotDataset, every frame of it, into an .npz
write    records the arrays of an .npz by add_frame and save_episode
convert  turns a data set of v2.1 into v3.0 by lerobot's own script
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import torch

# torchvision of PyPI is built for CUDA and finds no operators of its own beside a torch for CPUs; none is needed here.
register, torch.library.register_fake = torch.library.register_fake, lambda *_, **__: lambda function: function
import torchvision  # noqa: E402
import torchvision.io  # noqa: E402

torch.library.register_fake = register


class VideoReader:
    """What torchvision had until 0.23, as far as lerobot uses it: lerobot's own code finds and checks the frames."""

    def __init__(self, path, stream):
        import av

        self.container = av.open(path)

    def seek(self, seconds, keyframes_only):
        self.container.seek(int(seconds * 1_000_000))  # microseconds
        return self

    def __iter__(self):
        for frame in self.container.decode(video=0):
            data = torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1)
            yield {"pts": frame.time, "data": data}


if not hasattr(torchvision.io, "VideoReader"):
    torchvision.io.VideoReader = VideoReader


def read(source, target):
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    data = LeRobotDataset("local/set", root=source, video_backend="pyav")
    rows = [data[i] for i in range(len(data))]
    names = [name for name in rows[0] if name != "task"]
    arrays = {f"data/{name}": np.stack([row[name].numpy() for row in rows]) for name in names}
    stats = {f"stats/{name}/{key}": value for name, entry in data.meta.stats.items() for key, value in entry.items()}
    episodes = data.meta.episodes
    facts = {
        "fps": data.fps,
        "robot": data.meta.robot_type,
        "tasks": [row["task"] for row in rows],
        "names": data.meta.names,
        "episodes": data.num_episodes,
        "spans": [[e["dataset_from_index"], e["dataset_to_index"], e["length"]] for e in episodes],
    }
    np.savez(target, facts=json.dumps(facts), **arrays, **stats)


def write(source, target):
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    given = np.load(source)
    facts = json.loads(str(given["facts"]))
    features = {name: {**feature, "shape": tuple(feature["shape"])} for name, feature in facts["features"].items()}
    data = LeRobotDataset.create(
        "local/set", fps=facts["fps"], features=features, root=target, robot_type="arm", vcodec=facts["codec"]
    )
    start = 0
    for stop, task in zip(facts["ends"], facts["tasks"], strict=True):
        for i in range(start, stop):
            data.add_frame({**{name: given[name][i] for name in features}, "task": task})
        data.save_episode()
        start = stop
    data.finalize()


def convert(source, target):
    from lerobot.datasets.v30.convert_dataset_v21_to_v30 import convert_dataset

    work = Path(target) / "local" / "set"
    shutil.copytree(source, work, copy_function=shutil.copyfile)
    for path in (work, *work.rglob("*")):
        path.chmod(0o755)
    convert_dataset("local/set", root=target, push_to_hub=False)


if __name__ == "__main__":
    {"read": read, "write": write, "convert": convert}[sys.argv[1]](sys.argv[2], sys.argv[3])

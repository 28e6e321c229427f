"""Stores from strangers, and what damages, opens and inspects them."""

import json
import shutil

import numpy as np
import pytest

from robolearn.commands.main import main
from robolearn.data.store import DemoStore
from robolearn.data.windows import Windows

ARRAYS = {
    "state": np.arange(46, dtype=np.float32).reshape(23, 2),
    "action": np.ones((23, 2), np.float32),
    "episode_ends": np.array([10, 23]),
}


def document(path, name):
    """The file that describes an array."""
    return path / name / (".zarray" if (path / ".zgroup").exists() else "zarr.json")


def edit(path, name, **changes):
    file = document(path, name)
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def add_array(path, name, **changes):
    """Another array beside those that are asked for, a copy of data/state."""
    shutil.copytree(path / "data" / "state", path / name)
    edit(path, name, **changes)


def inspected(path, capsys):
    """Exit status and output of `inspect`."""
    with pytest.raises(SystemExit) as ended:
        main(["inspect", str(path)])
    return ended.value.code, "".join(capsys.readouterr())


def train_on(path, keys=("state",)):
    return Windows.from_store(DemoStore.open(path), keys, 2, 4)

"""Data sets as they are found: what reads, damages and compares them."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from robolearn.data.store import DemoStore
from robolearn.errors import UserError
from robolearn.formats.format import ImportOptions
from robolearn.formats.transfer import import_demos

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
TOP = "observation.images.top"


def read(root, **options):
    out = root.parent / "out.zarr"
    done = import_demos(root, out, "lerobot", options=ImportOptions(**options))
    return DemoStore.open(out), done


def refused(root, message=None, **options):
    """The one line, which has to match; nothing is left at the target."""
    with pytest.raises(UserError, match=message) as caught:
        read(root, **options)
    assert not (root.parent / "out.zarr").exists()
    assert not (root.parent / "out.zarr.part").exists()
    line = str(caught.value)
    assert "\n" not in line
    return line


def tables(root):
    return sorted(root.glob("data/*/*.parquet"))


def rewrite(path, change):
    pq.write_table(change(pq.read_table(path)), path)


def set_column(path, name, values):
    rewrite(path, lambda table: table.drop_columns([name]).append_column(name, values))


def intact(store, made):
    """Whether the numbers are those of the data set."""
    assert store.num_episodes == len(made.lengths)
    for i in range(store.num_episodes):
        np.testing.assert_array_equal(store.episode(i).obs["state"], made.rows["observation.state"][i])
        np.testing.assert_array_equal(store.episode(i).actions, made.rows["action"][i])


def with_camera(make_set, kit, version="v2.1", lengths=(4, 5, 3)):
    made = make_set(version, lengths)
    made.cameras[TOP] = [kit["frames_of"](i, n) for i, n in enumerate(made.lengths)]
    return made

"""zarr 2 opens what is exported, as Diffusion Policy's ReplayBuffer does; the largest difference is 0."""

import numpy as np
import pytest

from robolearn.data.store import DemoStore
from robolearn.formats.transfer import export_demos, import_demos
from tests.formats.peers.peer import run

pytestmark = pytest.mark.slow

READ = """
import sys
import numpy as np, zarr
assert zarr.__version__.startswith("2.")
memory = zarr.MemoryStore()
zarr.copy_store(zarr.open(sys.argv[1], "r").store, memory, if_exists="replace")  # as ReplayBuffer.copy_from_path
group = zarr.group(memory)
arrays = {f"data/{key}": value[:] for key, value in group["data"].items()}
arrays |= {f"meta/{key}": value[:] for key, value in group["meta"].items()}
assert all(value.shape[0] == arrays["meta/episode_ends"][-1] for key, value in arrays.items() if key.startswith("data"))
np.savez(sys.argv[2], **arrays)
"""

WRITE = """
import sys
import numpy as np, zarr
rng = np.random.default_rng(0)
arrays = {"action": rng.normal(size=(50, 2)), "img": rng.random((50, 16, 16, 3), np.float32)}
for path, store in (("a.zarr", zarr.DirectoryStore), ("a.zarr.zip", zarr.ZipStore)):
    opened = store(sys.argv[1] + "/" + path)
    root = zarr.group(opened)
    data, meta = root.create_group("data"), root.create_group("meta")
    for key, rows in arrays.items():
        data.create_dataset(key, data=rows, chunks=(7, *rows.shape[1:]))
    meta.create_dataset("episode_ends", data=np.array([20, 50]))
    getattr(opened, "close", lambda: None)()
np.savez(sys.argv[1] + "/read.npz", **arrays)
"""


def test_what_is_exported(tmp_path, rich_store):
    export_demos(rich_store, tmp_path / "out.zarr", "diffusion_policy")
    run("ROBOLEARN_ZARR2", READ, tmp_path / "out.zarr", tmp_path / "read.npz")
    read, store = np.load(tmp_path / "read.npz"), DemoStore.open(rich_store)
    for key in store.keys:
        np.testing.assert_array_equal(read[f"data/{key}"], store.read(key))
        assert read[f"data/{key}"].dtype == store.dtypes[key]
    np.testing.assert_array_equal(read["meta/episode_ends"], store.episode_ends)
    np.testing.assert_array_equal(read["meta/success"], store.episode_attrs["success"])


def test_what_is_written_there(tmp_path):
    run("ROBOLEARN_ZARR2", WRITE, tmp_path)
    read = np.load(tmp_path / "read.npz")
    for name in ("a.zarr", "a.zarr.zip"):
        import_demos(tmp_path / name, tmp_path / f"{name}.in")
        store = DemoStore.open(tmp_path / f"{name}.in")
        assert store.episode_ends.tolist() == [20, 50]
        for key in ("action", "img"):
            np.testing.assert_array_equal(store.read(key), read[key])

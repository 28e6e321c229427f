"""robomimic's own SequenceDataset opens what is exported; the largest difference is 0."""

import numpy as np
import pytest

from robolearn.data.store import DemoStore
from robolearn.formats.transfer import export_demos
from tests.formats.peers.peer import run

pytestmark = pytest.mark.slow

READ = """
import json, sys
import h5py
import numpy as np
import robomimic.utils.obs_utils as obs
from robomimic.utils.dataset import SequenceDataset
obs.initialize_obs_utils_with_obs_specs([{"obs": {"low_dim": ["state"], "rgb": ["top"]}}])
arrays = {}
for cache in ("none", "all"):
    for part in ("everything", "train", "valid"):
        data = SequenceDataset(
            sys.argv[1], ("state", "top"), ("actions", "rewards", "dones"), hdf5_use_swmr=False, load_next_obs=False,
            hdf5_cache_mode=None if cache == "none" else cache,
            filter_by_attribute=None if part == "everything" else part)
        items = [data[i] for i in range(len(data))]
        for key in ("actions", "rewards", "dones"):
            arrays[f"{cache}/{part}/{key}"] = np.stack([item[key][0] for item in items])
        for key in ("state", "top"):
            arrays[f"{cache}/{part}/{key}"] = np.stack([item["obs"][key][0] for item in items])
with h5py.File(sys.argv[1], "r") as file:
    env = json.loads(file["data"].attrs["env_args"])  # as get_env_metadata_from_dataset, which wants torchvision
arrays["env"] = [env["env_name"], str(env["env_kwargs"])]
np.savez(sys.argv[2], **arrays)
"""


def test_what_is_exported(tmp_path, rich_store):
    export_demos(rich_store, tmp_path / "demos.hdf5", "robomimic")
    run("ROBOLEARN_ROBOMIMIC", READ, tmp_path / "demos.hdf5", tmp_path / "read.npz")
    read, store = np.load(tmp_path / "read.npz"), DemoStore.open(rich_store)
    assert "Pendulum-v1" in read["env"][0]
    for part, numbers in (("everything", (0, 1, 2)), *store.attrs.splits.items()):
        episodes = [store.episode(i) for i in numbers]
        actions = np.concatenate([episode.actions for episode in episodes])
        for cache, kept in (("none", np.float64), ("all", np.float32)):  # in memory robomimic keeps actions as float32
            np.testing.assert_array_equal(read[f"{cache}/{part}/actions"], actions.astype(kept))
            for key in ("state", "top"):
                rows = np.concatenate([episode.obs[key] for episode in episodes])
                np.testing.assert_array_equal(read[f"{cache}/{part}/{key}"], rows)
            rewards = np.concatenate([episode.obs["reward"][:, 0] for episode in episodes])
            np.testing.assert_array_equal(read[f"{cache}/{part}/rewards"].reshape(-1), rewards.astype(kept))
            ends = np.flatnonzero(read[f"{cache}/{part}/dones"]) + 1
            assert ends.tolist() == np.cumsum([len(episode) for episode in episodes]).tolist()

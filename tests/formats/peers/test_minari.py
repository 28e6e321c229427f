"""Minari itself opens what is exported, and what it writes is imported; the largest difference is 0."""

import numpy as np
import pytest

from robolearn.data.store import DemoStore
from robolearn.formats.transfer import export_demos, import_demos
from tests.formats.peers.peer import run

pytestmark = pytest.mark.slow

READ = """
import sys
import minari, numpy as np
data = minari.load_dataset(sys.argv[1])
arrays = {"total_steps": data.total_steps, "env": data.env_spec.id, "g": data.env_spec.kwargs["g"]}
for episode, facts in zip(data.iterate_episodes(), data.storage.get_episode_metadata(range(len(data)))):
    for key, rows in episode.observations.items():
        assert rows.dtype == data.observation_space[key].dtype
        assert data.observation_space[key].contains(rows[0])
        arrays[f"{episode.id}/{key}"] = rows
    arrays[f"{episode.id}/action"], arrays[f"{episode.id}/reward"] = episode.actions, episode.rewards
    arrays[f"{episode.id}/end"] = [episode.terminations[-1], episode.truncations[-1]]
    arrays[f"{episode.id}/seed"] = facts["seed"]
    arrays[f"{episode.id}/states"] = episode.infos["states"]
data.recover_environment().close()
np.savez(sys.argv[2], **arrays)
"""

WRITE = """
import sys
import gymnasium, minari, numpy as np
from gymnasium import spaces
from minari import DataCollector
from minari.data_collector import EpisodeBuffer
env = DataCollector(gymnasium.make("Pendulum-v1", g=9.0), record_infos=True)
for seed in range(4):
    env.reset(seed=seed)
    for _ in range(20 + seed):
        step = env.step(env.action_space.sample())
env.reset()
made = env.create_dataset("peer/pendulum-v0", algorithm_name="random")
rng = np.random.default_rng(0)
pair = spaces.Tuple((spaces.Discrete(5), spaces.Box(0, 1, (2,))))
inner = spaces.Dict({"pos": spaces.Box(-9, 9, (3,)), "pair": pair})
image = spaces.Box(0, 255, (40, 48, 3), np.uint8)
obs_space = spaces.Dict({"arm": inner, "cam": image, "note": spaces.Text(5)})
buffers = []
for steps in (5, 1, 7):
    obs = {
        "arm": {
            "pos": rng.normal(size=(steps + 1, 3)),
            "pair": (rng.integers(0, 5, steps + 1), rng.random((steps + 1, 2))),
        },
        "cam": rng.integers(0, 256, (steps + 1, 40, 48, 3), np.uint8), "note": ["ab"] * (steps + 1),
    }
    buffers.append(EpisodeBuffer(None, steps, None, obs, rng.normal(size=(steps, 2)), list(rng.normal(size=steps)),
                                 [False] * steps, [False] * (steps - 1) + [True], None))
nested = minari.create_dataset_from_buffers(
    "peer/nested-v0", buffers, observation_space=obs_space, action_space=spaces.Box(-9, 9, (2,)), jpeg_encoding=JPEG)
arrays = {}
for episode in made.iterate_episodes():
    arrays |= {f"p{episode.id}/obs": episode.observations, f"p{episode.id}/action": episode.actions}
    arrays[f"p{episode.id}/reward"] = episode.rewards
for episode in nested.iterate_episodes():
    obs = episode.observations
    arrays |= {f"n{episode.id}/arm.pos": obs["arm"]["pos"], f"n{episode.id}/arm.pair.0": obs["arm"]["pair"][0]}
    arrays |= {f"n{episode.id}/arm.pair.1": obs["arm"]["pair"][1], f"n{episode.id}/cam": obs["cam"]}
    arrays[f"n{episode.id}/action"] = episode.actions
np.savez(sys.argv[1], **arrays)
"""


def test_what_is_exported(tmp_path, rich_store):
    (tmp_path / "robolearn").mkdir()
    export_demos(rich_store, tmp_path / "robolearn" / "demonstrations-v0", "minari")
    name = "robolearn/demonstrations-v0"
    run("ROBOLEARN_MINARI", READ, name, tmp_path / "read.npz", MINARI_DATASETS_PATH=str(tmp_path))
    read, store = np.load(tmp_path / "read.npz"), DemoStore.open(rich_store)
    assert (int(read["total_steps"]), str(read["env"]), float(read["g"])) == (store.num_steps, "Pendulum-v1", 9.81)
    for i in range(store.num_episodes):
        episode = store.episode(i)
        for key in ("state", "top", "states"):
            np.testing.assert_array_equal(read[f"{i}/{key}"][:-1], episode.obs[key])
        np.testing.assert_array_equal(read[f"{i}/action"], episode.actions)
        np.testing.assert_array_equal(read[f"{i}/reward"], episode.obs["reward"][:, 0])
        assert read[f"{i}/end"].tolist() == [False, True]
        assert read[f"{i}/seed"] == episode.attrs["seed"]


@pytest.mark.parametrize("jpeg", [False, True])
def test_what_is_written_there(tmp_path, jpeg):
    script = WRITE.replace("JPEG", str(jpeg))
    run("ROBOLEARN_MINARI", script, tmp_path / "read.npz", MINARI_DATASETS_PATH=str(tmp_path))
    read = np.load(tmp_path / "read.npz")
    import_demos(tmp_path / "peer" / "pendulum-v0", tmp_path / "p.zarr")
    import_demos(tmp_path / "peer" / "nested-v0", tmp_path / "n.zarr")
    pendulum, nested = DemoStore.open(tmp_path / "p.zarr"), DemoStore.open(tmp_path / "n.zarr")
    assert pendulum.attrs.env_id == "gymnasium:Pendulum-v1"
    assert pendulum.attrs.env_kwargs == {"g": 9.0}
    assert pendulum.episode_attrs["seed"].tolist() == [0, 1, 2, 3]
    assert np.diff(pendulum.episode_ends, prepend=0).tolist() == [20, 21, 22, 23]
    for i in range(4):
        episode = pendulum.episode(i)
        np.testing.assert_array_equal(episode.obs["state"], read[f"p{i}/obs"][:-1])
        np.testing.assert_array_equal(episode.obs["reward"][:, 0], read[f"p{i}/reward"])
        np.testing.assert_array_equal(episode.actions, read[f"p{i}/action"])
    assert nested.attrs.obs_keys == ("arm.pair.0", "arm.pair.1", "arm.pos", "cam")
    for i in range(3):
        episode = nested.episode(i)
        for key in nested.attrs.obs_keys:
            rows = read[f"n{i}/{key}"][:-1]
            np.testing.assert_array_equal(episode.obs[key].reshape(rows.shape), rows)
        np.testing.assert_array_equal(episode.actions, read[f"n{i}/action"])

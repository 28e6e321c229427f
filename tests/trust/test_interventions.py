"""What the expert did when it took over, as demonstrations."""

import numpy as np
import pytest

from robolearn.data.store import DemoStore
from robolearn.rollout.env_config import EnvConfig
from robolearn.trust.interventions import check_recordable, record_interventions, segments
from robolearn.types import INTERVENING, Trajectory


def trajectory(plans, length, success=True, seed=3):
    obs = {"state": np.arange(length + 1, dtype=np.float32)[:, None]}
    actions, zeros = np.arange(length, dtype=np.float32)[:, None], np.zeros(length)
    signals = {INTERVENING: np.array(plans, bool)}
    return Trajectory(0, seed, obs, actions, zeros, zeros, success, -1, "success", signals)


def test_segments_are_the_steps_under_intervention():
    interventions = list(segments(trajectory([1, 0, 1, 1], 11), 3))
    assert [s.actions[:, 0].tolist() for s in interventions] == [[0, 1, 2], [6, 7, 8, 9, 10]]
    assert all((s.obs["state"][:, 0] == s.actions[:, 0]).all() for s in interventions)


def test_interventions_of_successes_are_a_store(tmp_path):
    env = EnvConfig("envs:robolearn/Avoid-v0", {"moved": 0.03})
    runs = [trajectory([1, 0], 4, seed=8), trajectory([1, 1], 4, success=False), trajectory([0, 0], 4)]
    assert record_interventions(tmp_path / "a.zarr", runs, 2, env, 0.05) == 1
    store = DemoStore.open(tmp_path / "a.zarr")
    assert (store.num_episodes, store.num_steps) == (1, 2)
    assert store.attrs.env_kwargs == {"moved": 0.03}
    assert store.episode_attrs["seed"].tolist() == [8]


def test_nothing_is_written_where_nothing_happened(tmp_path):
    assert record_interventions(tmp_path / "a.zarr", [trajectory([0], 2)], 2, EnvConfig("x"), 0.05) == 0
    assert not (tmp_path / "a.zarr").exists()


@pytest.mark.parametrize(
    ("fallback", "images", "message"),
    [("hold", False, "needs `fallback` expert: hold"), ("expert", True, "images are not kept")],
)
def test_what_cannot_be_recorded_is_refused(tmp_path, fallback, images, message):
    with pytest.raises(ValueError, match=message):
        check_recordable(tmp_path / "a.zarr", fallback, images)
    (tmp_path / "b.zarr").mkdir()
    (tmp_path / "b.zarr" / "notes.txt").touch()
    with pytest.raises(ValueError, match="exists"):
        check_recordable(tmp_path / "b.zarr", "expert", False)

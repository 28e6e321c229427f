"""Episodes of an evaluation as a store, for simulators."""

import numpy as np
import pytest

from robolearn.data.recorded import check_recording
from robolearn.data.store import DemoStore
from robolearn.errors import UserError
from robolearn.evaluation.config import EvalConfig
from robolearn.evaluation.evaluate import evaluate
from robolearn.evaluation.recorded import record_episodes
from robolearn.rollout.env_config import EnvConfig
from robolearn.types import Trajectory


def trajectory(length, reason, **changes):
    obs = {"state": np.arange(length + 1.0)[:, None]}
    none = np.zeros(length)
    ended = reason in ("success", "failure", "unstable")
    fields = {"success": reason == "success", "mode": -1, "reason": reason, "ended": ended, **changes}
    return Trajectory(0, 7, obs, np.ones((length, 2)), none, none, **fields)


def test_failures_are_kept_with_what_ended_them(tmp_path):
    reasons = ("success", "failure", "time", "unstable", "stopped")
    trajectories = [trajectory(3 + i, reason) for i, reason in enumerate(reasons)]
    trajectories += [trajectory(9, "broken: it raised", broken=True), trajectory(0, "unstable")]
    assert record_episodes(tmp_path / "a.zarr", trajectories, EnvConfig("test/A-v0"), 0.1) == 5
    store = DemoStore.open(tmp_path / "a.zarr")
    assert np.diff(store.episode_ends, prepend=0).tolist() == [3, 4, 5, 6, 7]
    assert store.episode_attrs["success"].tolist() == [1, 0, 0, 0, 0]
    assert store.episode_attrs["ended"].tolist() == [1, 1, 0, 1, 0]
    assert store.episode(1).obs["state"][:, 0].tolist() == [0, 1, 2, 3]  # what the last action led to is not in a store
    assert (store.attrs.env_id, store.attrs.control_dt) == ("test/A-v0", 0.1)


def test_an_evaluation_records_its_episodes(trained_pair, tmp_path):
    store = tmp_path / "episodes.zarr"
    report = evaluate(trained_pair, EvalConfig(episodes=3, videos=0, threads=1, record_episodes=store))
    recorded = DemoStore.open(store)
    assert recorded.episode_attrs["seed"].tolist() == [t.seed for t in report.trajectories]
    np.testing.assert_allclose(recorded.read("action"), np.concatenate([t.actions for t in report.trajectories]))
    with pytest.raises(UserError, match=r"episodes\.zarr exists; choose another `record_episodes`"):
        evaluate(trained_pair, EvalConfig(episodes=3, videos=0, threads=1, record_episodes=store))


def test_images_cannot_be_recorded(tmp_path):
    with pytest.raises(UserError, match="`record_episodes`: images are not kept"):
        check_recording("record_episodes", tmp_path / "a.zarr", sees_images=True)

"""The expert at the wheel of some environments, and what comes out as one chunk; and what it did as demonstrations."""

import numpy as np
import pytest

from robolearn.data.store import DemoStore
from robolearn.rollout.environments import EnvConfig
from robolearn.rollout.loop import LoopChunk, LoopEnvs
from robolearn.trust.handover import Handover
from robolearn.trust.interventions import check_recordable, record_interventions, segments
from robolearn.types import INTERVENING, Trajectory


class Counting:
    """Adds its action to a number per environment; ends above 100. Its expert adds 10 plus the number of the call."""

    def __init__(self, num_envs):
        self.num_envs, self.value, self.calls, self.taken = num_envs, np.zeros(num_envs, np.float32), 0, []

    def reset(self, *, seed, options):
        self.value[options["reset_mask"]] = 0
        return {"state": self.value[:, None].copy()}, {}

    def close(self, **kwargs):
        pass

    def take_over(self, mask):
        self.taken.append(mask.tolist())

    def expert_action(self):
        self.calls += 1
        label = np.full((self.num_envs, 1), 10.0 + self.calls)
        return label, label + 99

    def step_chunk(self, actions, active):
        chunk = LoopChunk.empty(*actions.shape[:2], {"state": self.value[:, None]})
        for i in np.flatnonzero(active):
            for j in range(actions.shape[1]):
                self.value[i] += actions[i, j, 0]
                chunk.obs["state"][i, j] = self.value[i]
                chunk.terminated[i, j] = self.value[i] > 100
                chunk.num_steps[i] = j + 1
                if chunk.terminated[i, j]:
                    break
        return chunk


def test_the_expert_drives_some_and_the_policy_the_others():
    envs = Handover(Counting(3))
    envs.drive(np.array([False, True, False]))
    actions = np.ones((3, 2, 1), np.float32)
    chunk = envs.step_chunk(actions, np.array([True, True, False]))
    np.testing.assert_array_equal(chunk.obs["state"][:2, :, 0], [[1, 2], [11, 23]])
    np.testing.assert_array_equal(actions[:, :, 0], [[1, 1], [11, 12], [1, 1]])
    assert chunk.num_steps.tolist() == [2, 2, 0]


def test_an_episode_that_the_expert_ends_stops_there():
    envs = Handover(Counting(2))
    envs.drive(np.array([True, True]))
    envs.envs.value[0] = 85
    chunk = envs.step_chunk(np.zeros((2, 4, 1), np.float32), np.array([True, True]))
    assert chunk.num_steps.tolist() == [2, 4]
    assert chunk.terminated[0].tolist() == [False, True, False, False]
    np.testing.assert_array_equal(chunk.obs["state"][1, :, 0], np.cumsum([11, 12, 13, 14]))


def test_it_plans_anew_where_it_begins_and_only_there():
    envs = Handover(Counting(3))
    for driven in ([True, False, False], [True, True, False], [False, True, False], [True, True, False]):
        envs.drive(np.array(driven))
    assert envs.envs.taken == [[True, False, False], [False, True, False], [True, False, False]]


def test_a_new_episode_begins_with_the_policy():
    envs = Handover(Counting(2))
    envs.drive(np.array([True, True]))
    envs.reset(seed=[0, None], options={"reset_mask": np.array([True, False])})
    assert envs.driven.tolist() == [False, True]


class Images(Counting):
    """The same, with an image of which a chunk holds the last two."""

    def step_chunk(self, actions, active):
        chunk = super().step_chunk(actions, active)
        frames = np.zeros((self.num_envs, min(2, actions.shape[1]), 1, 1, 1), np.uint8)
        for i, count in enumerate(chunk.num_steps):
            last = chunk.obs["state"][i, max(count - 2, 0) : count, 0]
            frames[i, : len(last), 0, 0, 0] = last
        chunk.obs["image"] = frames
        return chunk


@pytest.mark.parametrize("driven", [False, True])
def test_of_images_the_last_ones_are_there(driven):
    envs = Handover(Images(1))
    envs.drive(np.array([driven]))
    chunk = envs.step_chunk(np.array([[[11.0], [12.0], [13.0]]], np.float32), np.array([True]))
    assert chunk.obs["image"][0, :, 0, 0, 0].tolist() == [23, 36]


def test_without_an_expert_there_is_no_handover():
    with pytest.raises(ValueError, match="no scripted expert"):
        Handover(LoopEnvs(EnvConfig("envs:robolearn/Avoid-v0"), 1, ("state",)))


def trajectory(plans, length, success=True, seed=3):
    obs = {"state": np.arange(length + 1, dtype=np.float32)[:, None]}
    actions, zeros = np.arange(length, dtype=np.float32)[:, None], np.zeros(length)
    signals = {INTERVENING: np.array(plans, bool)}
    return Trajectory(0, seed, obs, actions, zeros, zeros, success, -1, "success", signals)


def test_segments_are_the_steps_under_intervention():
    found = list(segments(trajectory([1, 0, 1, 1], 11), 3))
    assert [s.actions[:, 0].tolist() for s in found] == [[0, 1, 2], [6, 7, 8, 9, 10]]
    assert all((s.obs["state"][:, 0] == s.actions[:, 0]).all() for s in found)


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
    [("hold", False, "needs --fallback expert: hold"), ("expert", True, "images are not kept")],
)
def test_what_cannot_be_recorded_is_refused(tmp_path, fallback, images, message):
    with pytest.raises(ValueError, match=message):
        check_recordable(tmp_path / "a.zarr", fallback, images)
    (tmp_path / "b.zarr").mkdir()
    (tmp_path / "b.zarr" / "notes.txt").touch()
    with pytest.raises(ValueError, match="exists"):
        check_recordable(tmp_path / "b.zarr", "expert", False)

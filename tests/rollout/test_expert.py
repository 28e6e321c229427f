"""The expert at the wheel of some environments, and what comes out as one chunk."""

import gymnasium as gym
import numpy as np
import pytest

from robolearn.contract import ChunkResult
from robolearn.rollout.chunked import NativeEnvs
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.expert import Expert
from robolearn.rollout.interface import Interface
from robolearn.rollout.making import make_envs


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
        chunk = ChunkResult.empty(*actions.shape[:2], {"state": self.value[:, None]})
        for i in np.flatnonzero(active):
            for j in range(actions.shape[1]):
                self.value[i] += actions[i, j, 0]
                chunk.obs["state"][i, j] = self.value[i]
                chunk.terminated[i, j] = self.value[i] > 100
                chunk.num_steps[i] = j + 1
                if chunk.terminated[i, j]:
                    break
        return chunk


def seated(driver):
    """Environments and their expert."""
    box = gym.spaces.Box(-1e3, 1e3, (1,))
    cfg = EnvConfig("counting")
    envs = NativeEnvs(cfg, driver, Interface.from_spaces(cfg, gym.spaces.Dict({"state": box}), box, ("state",), None))
    return envs, Expert(envs)


def test_the_expert_drives_some_and_the_policy_the_others():
    envs, expert = seated(Counting(3))
    expert.drive(np.array([False, True, False]))
    actions = np.ones((3, 2, 1), np.float32)
    executed, chunk = expert.step(envs, actions, np.array([True, True, False]))
    np.testing.assert_array_equal(chunk.obs["state"][:2, :, 0], [[1, 2], [11, 23]])
    np.testing.assert_array_equal(executed[:, :, 0], [[1, 1], [11, 12], [1, 1]])
    assert chunk.num_steps.tolist() == [2, 2, 0]
    assert (actions == 1).all()  # what was planned is another's


@pytest.mark.parametrize("driven", [[True, False], [True, True]])
def test_nothing_that_a_driver_returned_is_written_into(driven):
    """A driver may keep what it returned."""
    kept, driver = [], Counting(2)
    step_chunk = driver.step_chunk

    def keep(actions, active):
        kept.append(step_chunk(actions, active))
        for array in (*kept[-1].obs.values(), kept[-1].rewards, kept[-1].terminated, kept[-1].num_steps):
            array.flags.writeable = False
        return kept[-1]

    driver.step_chunk = keep
    envs, expert = seated(driver)
    expert.drive(np.array(driven))
    actions = np.ones((2, 3, 1), np.float32)
    actions.flags.writeable = False
    executed, chunk = expert.step(envs, actions, np.array([True, True]))
    assert executed.flags.writeable
    assert chunk.num_steps.tolist() == [3, 3]
    assert len(kept) == 4


def test_an_episode_that_the_expert_ends_stops_there():
    envs, expert = seated(Counting(2))
    expert.drive(np.array([True, True]))
    envs.driver.value[0] = 85
    _, chunk = expert.step(envs, np.zeros((2, 4, 1), np.float32), np.array([True, True]))
    assert chunk.num_steps.tolist() == [2, 4]
    assert chunk.terminated[0].tolist() == [False, True, False, False]
    np.testing.assert_array_equal(chunk.obs["state"][1, :, 0], np.cumsum([11, 12, 13, 14]))


def test_it_plans_anew_where_it_begins_and_only_there():
    envs, expert = seated(Counting(3))
    for driven in ([True, False, False], [True, True, False], [False, True, False], [True, True, False]):
        expert.drive(np.array(driven))
    assert envs.driver.taken == [[True, False, False], [False, True, False], [True, False, False]]


def test_a_new_episode_begins_with_the_policy():
    _, expert = seated(Counting(2))
    expert.drive(np.array([True, True]))
    expert.reset([0])
    assert expert.driven.tolist() == [False, True]


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
    envs, expert = seated(Images(1))
    expert.drive(np.array([driven]))
    _, chunk = expert.step(envs, np.array([[[11.0], [12.0], [13.0]]], np.float32), np.array([True]))
    assert chunk.obs["image"][0, :, 0, 0, 0].tolist() == [23, 36]


@pytest.mark.parametrize("env_id", ["tests.rollout.plain_env:test/Plain-v0", "envs:robolearn/PushT-v0"])
def test_without_an_expert_there_is_none_to_take_over(env_id):
    envs = make_envs(EnvConfig(env_id), 1, ("state",))
    with pytest.raises(ValueError, match="no scripted expert"):
        Expert(envs)
    envs.close()


def test_an_expert_that_cannot_take_over_is_none():
    class Only(Counting):
        take_over = None

    with pytest.raises(ValueError, match="no scripted expert"):
        seated(Only(1))

"""A video shows the episode that was judged, or there is none."""

import dataclasses

import numpy as np
import pytest

from robolearn.policies.flow import FlowConfig
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.rollout.replay import record_videos, replay
from robolearn.rollout.roll_out import roll_out


def plain(**kwargs):
    return EnvConfig("tests.rollout.plain_env:test/Plain-v0", kwargs, max_episode_steps=10)


@pytest.fixture
def roll(make_policy):
    def roll(cfg):
        return roll_out(make_policy(FlowConfig(steps=1)), cfg, range(6), execution=Execution(2), seed=0, num_envs=2)

    return roll


def test_an_environment_that_repeats_itself_has_videos(roll, tmp_path):
    trajectories = roll(plain())
    videos, failures = record_videos(plain(), trajectories, 2, tmp_path, 10.0)
    assert failures == []
    assert [success for _, success, _ in videos] == [True, True, False, False]
    assert all(path.exists() for *_, path in videos)


def test_an_image_that_is_made_of_another_is_not_missed(roll):
    """Trajectories have no images, under whatever name a policy sees them."""
    (episode, *_) = roll(plain())
    renamed = dataclasses.replace(plain(), obs=("view=state",))
    assert len(list(replay(renamed, episode))) == len(episode) + 1


def test_an_environment_that_ignores_its_seed_has_none(roll, tmp_path):
    (tmp_path / "episode_0000.mp4").write_text("of an earlier evaluation")
    trajectories = [dataclasses.replace(t, success=True) for t in roll(plain(obeys=False))]
    videos, (line,) = record_videos(plain(obeys=False), trajectories, 3, tmp_path, 10.0)
    assert videos == []
    assert line.startswith("no video of episode 0, 1, 2 (UserError: state differs at step 0")
    assert list(tmp_path.iterdir()) == []


def test_a_success_that_does_not_come_again_is_no_success(roll):
    """Where the observations tell nothing, as in a task seen through cameras."""
    (failure, *_) = (t for t in roll(plain(alike=True)) if not t.success)
    with pytest.raises(ValueError, match="does not succeed when its actions are executed again"):
        list(replay(plain(alike=True), dataclasses.replace(failure, success=True)))


@pytest.mark.parametrize("what", ["state", "reward"])
def test_every_step_is_compared(roll, what):
    (episode, *_) = roll(plain())
    rows = {"state": episode.obs["state"], "reward": episode.rewards}[what].copy()
    rows[-1] += 0.01
    changed = {"obs": {"state": rows}} if what == "state" else {"rewards": rows}
    with pytest.raises(ValueError, match=f"{what} differs at step 3"):
        list(replay(plain(), dataclasses.replace(episode, **changed)))
    rounding = episode.obs["state"] * np.float32(1 + 1e-6)
    assert len(list(replay(plain(), dataclasses.replace(episode, obs={"state": rounding})))) == len(episode) + 1

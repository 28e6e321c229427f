"""What would make a training useless is said before it."""

import dataclasses

import gymnasium as gym
import numpy as np
import pytest
import torch

from robolearn.bench import triangle
from robolearn.bench.triangle import work
from robolearn.bench.unit import Unit
from robolearn.errors import UserError
from robolearn.rollout.env_config import EnvConfig
from tests.bench.tiny import REGRESSION, TASK, write_demos

CPU = torch.device("cpu")


class Judged(gym.Env):
    """Ends after four steps; what it says of them can be chosen."""

    observation_space = gym.spaces.Dict({"state": gym.spaces.Box(-9, 9, (4,), np.float32)})
    action_space = gym.spaces.Box(-9, 9, (2,), np.float32)

    def __init__(self, reward=-1.0, says="late", breaks=False):
        self.reward, self.says, self.breaks, self.t = reward, says, breaks, 0

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return {"state": np.zeros(4, np.float32)}, {}

    def step(self, action):
        if self.breaks:
            raise RuntimeError("gripper limit exceeded")
        self.t += 1
        ended = self.t == 4
        info = {"success": False} if self.says == "late" and ended else {"task_done": False}
        return {"state": np.zeros(4, np.float32)}, self.reward, False, ended, info


gym.register("test/Judged-v0", Judged, max_episode_steps=50)


def unit_in(folder, **options):
    train = dataclasses.replace(TASK.train, env=EnvConfig("test/Judged-v0", **options))
    return Unit(dataclasses.replace(TASK, train=train), REGRESSION, "compute", 0, folder / "runs")


@pytest.fixture
def begun(monkeypatch):
    """Units whose training would have begun."""
    units = []
    monkeypatch.setattr(triangle, "complete", lambda unit, *_: units.append(unit) or "")
    return units


@pytest.mark.parametrize(("mode", "said"), [(0.5, "0.5"), (24, "24"), (-2, "-2"), (np.nan, "nan")])
def test_modes_that_are_none_of_the_environment_are_refused(tmp_path, begun, mode, said):
    unit = Unit(TASK, REGRESSION, "compute", 0, tmp_path / "runs")
    with pytest.raises(UserError, match=rf"tiny.zarr: the mode of an episode is {said}; .*Avoid-v0 has 0 .. 23"):
        work([unit], write_demos(tmp_path, mode=lambda i: mode), CPU)
    assert begun == []


def test_too_few_demonstrations_to_hold_any_out_are_refused(tmp_path, begun):
    data, unit = write_demos(tmp_path, 4), unit_in(tmp_path)
    said = "tiny.zarr: chunks are compared .* a share of 0.2 of 4 episodes is none; give at least 5 episodes"
    with pytest.raises(UserError, match=said):
        work([unit], data, CPU)
    assert begun == []
    work([unit], write_demos(tmp_path / "more", 5), CPU)
    assert begun == [unit]


@pytest.mark.parametrize(
    "options",
    [
        {"kwargs": {"says": "nothing"}},
        {"success_key": "is_done"},
        {"kwargs": {"says": "nothing"}, "max_episode_steps": 3},
    ],
)
def test_an_environment_with_neither_success_nor_a_score_is_refused(tmp_path, begun, options):
    data, unit = write_demos(tmp_path), unit_in(tmp_path, **options)
    said = r"Judged-v0 tells of no success .* leave \[0, 1\], .*; info holds .*task_done; name .* `env.success_key`"
    if options.get("success_key"):
        said = r"tells of no success \(is_done in info\).*; info holds success; name"
    with pytest.raises(UserError, match=said):
        work([unit], data, CPU)
    assert begun == []


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"kwargs": {"says": "nothing", "reward": 0.5}},
        {"success_key": "task_done"},
        {"kwargs": {"says": "nothing", "breaks": True}},  # which the evaluation tells
    ],
)
def test_one_with_either_is_not(tmp_path, begun, options):
    data, unit = write_demos(tmp_path), unit_in(tmp_path, **options)
    work([unit], data, CPU)
    assert begun == [unit]

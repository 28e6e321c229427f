"""Which episodes a measurement rolls out, and how they are written down."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from robolearn import seeds
from robolearn.bench import measuring
from robolearn.bench.heldout import HeldOut
from robolearn.bench.rows import Setting
from robolearn.data.attrs import StoreAttrs
from robolearn.data.writer import DemoWriter
from robolearn.errors import UserError
from robolearn.policies.regression import RegressionConfig
from robolearn.rollout.execution import Execution
from robolearn.training.run import Run
from robolearn.types import Episode, Trajectory
from tests.bench.tiny import TASK

EVALUATION, SELECTION = seeds.TRIANGLE.start, seeds.SELECTION.start


class OpenRun(Run):
    """A run of one configuration, without its files."""

    def __init__(self, cfg):
        self.cfg = cfg

    def config(self):
        return self.cfg

    def checkpoint(self, name="last"):
        return Path(name)


class Nothing(HeldOut):
    """Held-out observations that show nothing."""

    def __init__(self):
        pass

    def compare(self, policy):
        return {}


@pytest.fixture
def rolled_out(monkeypatch, make_policy):
    """Measure made-up episodes, whose mode is their index; returns what was asked for, and what was measured."""
    asked, policy = [], make_policy(RegressionConfig())

    def roll_out(policy, env, episodes, *, seed, repeats, execution):
        asked.append((seed, list(episodes), repeats))
        assert execution == Execution(TASK.train.exec_horizon + 1)
        none = np.zeros((0, 2), np.float32)
        return [
            Trajectory(i, seed + i // repeats, {}, none, none[:, 0], none[:, 0], seed == EVALUATION, i, "time")
            for i in episodes
        ]

    monkeypatch.setattr(measuring, "roll_out", roll_out)
    monkeypatch.setattr(measuring, "measure_latency", lambda *_: {})
    monkeypatch.setattr(measuring, "used_parameters", lambda *_: 0)
    monkeypatch.setattr(measuring.Policy, "load", lambda *_, **__: policy)
    executed = dataclasses.replace(TASK.train, exec_horizon=TASK.train.exec_horizon + 1)  # other than the run says
    task = dataclasses.replace(TASK, train=executed)
    return asked, measuring.measure(task, OpenRun(TASK.train), Setting("x"), Nothing(), torch.device("cpu"))


def test_a_setting_is_chosen_on_other_episodes_than_are_reported(rolled_out):
    asked, measured = rolled_out
    assert asked == [(EVALUATION, [0, 1, 2, 3, 4, 5], 3), (SELECTION, [0, 1, 2, 3, 4, 5], 3)]
    assert measured["selection"]["success"] == [[0, 0, 0]] * 2
    assert measured["evaluation"]["success"] == [[1, 1, 1], [1, 1, 1]]


def test_a_row_holds_the_repetitions_of_one_start(rolled_out):
    assert rolled_out[1]["evaluation"]["mode"] == [[0, 1, 2], [3, 4, 5]]


def episodes(tells_success, reward):
    none, rewards = np.zeros((1, 2), np.float32), np.full(1, reward)
    return [
        Trajectory(i, i, {}, none, rewards, rewards, False, -1, "time", tells_success=tells_success) for i in range(2)
    ]


def test_what_the_environment_does_not_tell_is_no_number(monkeypatch, make_policy):
    """A reward on another scale is no score, and silence no failure; where there is neither, nothing is measured."""
    monkeypatch.setattr(measuring, "measure_latency", lambda *_: {})
    monkeypatch.setattr(measuring, "used_parameters", lambda *_: 0)
    monkeypatch.setattr(measuring.Policy, "load", lambda *_, **__: make_policy(RegressionConfig()))
    task, measured = dataclasses.replace(TASK, num_states=2, num_repeats=1), {}
    for told, reward in ((True, -3.0), (False, 0.5)):
        monkeypatch.setattr(measuring, "roll_out_from", lambda *_, told=told, reward=reward: episodes(told, reward))
        measured[told] = measuring.measure(task, OpenRun(TASK.train), Setting("x"), Nothing(), torch.device("cpu"))
    assert measured[True]["evaluation"] == {"success": [[0], [0]], "score": [[None], [None]], "mode": [[-1], [-1]]}
    assert measured[False]["selection"] == {"success": [[None]] * 2, "score": [[0.5]] * 2, "mode": [[-1], [-1]]}
    monkeypatch.setattr(measuring, "roll_out_from", lambda *_: episodes(False, 2.0))
    with pytest.raises(UserError, match=r"Avoid-v0 tells of no success .* its rewards leave \[0, 1\]"):
        measuring.measure(task, OpenRun(TASK.train), Setting("x"), Nothing(), torch.device("cpu"))


def test_demonstrations_without_a_mode_are_of_none(tmp_path):
    attrs = StoreAttrs(env_id="envs:robolearn/Avoid-v0", control_dt=0.05, obs_keys=("state",))
    rows = np.zeros((3, 4), np.float32)
    episodes = [Episode({"state": rows}, rows[:, :2], {"mode": mode}) for mode in (-1, 0, 0, 5)]
    DemoWriter.create(tmp_path / "demos.zarr", attrs=attrs).extend(episodes)
    dataset = dataclasses.replace(TASK.train.dataset, path=(tmp_path / "demos.zarr",))
    cfg = dataclasses.replace(TASK.train, dataset=dataset)
    modes = measuring.demonstrated_modes(OpenRun(cfg))
    assert modes == [2, 0, 0, 0, 0, 1, *[0] * 18]

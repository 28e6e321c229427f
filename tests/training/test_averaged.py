"""What is judged while training, and kept as the best, is the moving average of the weights."""

import contextlib
import dataclasses

import numpy as np
import pytest
import torch

from robolearn import seeds
from robolearn.data.windows import Windows
from robolearn.policies.regression import RegressionConfig
from robolearn.rollout.env_config import EnvConfig
from robolearn.training import session
from robolearn.training.config import TrainConfig
from robolearn.training.device import Processes
from robolearn.training.fit import Hooks, fit
from robolearn.training.run import DataFacts, Run
from robolearn.training.session import Session
from robolearn.training.state import TrainState
from robolearn.training.validation import validation_loss
from robolearn.types import Trajectory


@pytest.fixture
def cfg():
    return TrainConfig(
        env=EnvConfig("envs:robolearn/Avoid-v0"), steps=3, batch_size=8, lr=0.1, warmup_steps=0, amp="off", wandb=False
    )


@pytest.fixture
def state(make_policy, cfg):
    return TrainState(make_policy(RegressionConfig()), cfg)


@pytest.fixture
def opened(tmp_path, state, cfg):
    run = Run.create(tmp_path / "run", cfg, DataFacts("demos.zarr", "abc", 0.1, 4, 40, (1, 3)))
    with Session(run, state, run.data()) as opened:
        yield opened


class Records(Hooks):
    def __init__(self):
        self.losses = []

    def record(self, record):
        self.losses += [record["validation_loss"]] if "validation_loss" in record else []


def test_validation_is_of_the_averaged_weights_on_the_same_windows(state, cfg):
    generator = torch.Generator().manual_seed(0)
    obs, actions = {"state": torch.randn(40, 4, generator=generator)}, torch.rand(40, 2, generator=generator)
    windows, hooks = Windows(obs, actions, [20, 40], 2, 4), Records()
    assert fit(state, windows, windows, Processes(torch.device("cpu")), hooks)
    averaged = [validation_loss(state.ema.module, windows, cfg) for _ in range(2)]
    assert hooks.losses == [averaged[0]] == [averaged[1]]
    assert abs(validation_loss(state.policy.eval(), windows, cfg) - averaged[0]) > 1e-3
    # In batches of 512, or of 1,000, 1,000 and 48: each window counts as much as another.
    larger = validation_loss(state.ema.module, windows, dataclasses.replace(cfg, batch_size=1000))
    assert larger == pytest.approx(averaged[0], rel=1e-5)


def test_rollouts_are_of_the_averaged_weights_from_seeds_of_their_own(opened, state, monkeypatch):
    asked = []

    def roll_out(policy, *_, seed, **__):
        asked.append((policy, seed))
        raise ValueError("seen enough")

    monkeypatch.setattr(session, "roll_out", roll_out)
    with contextlib.suppress(ValueError):  # whatever becomes of a rollout that fails
        opened.rollout(state)
    ((policy, seed),) = asked
    assert policy is state.ema.module
    assert seed == seeds.ROLLOUTS.start


def test_the_first_of_the_lowest_held_out_losses_is_the_best(opened, state):
    best = []
    for state.step, loss in enumerate((0.5, 0.7, 0.5, 0.4), start=1):
        opened.record({"step": state.step, "validation_loss": loss})
        opened.checkpoint(state)
        best.append(opened.run.best_step())
    assert best == [1, 1, 1, 4]


def test_with_rollouts_the_highest_score_is_the_best(opened, state, monkeypatch):
    """Whatever the held-out loss, which falls here."""
    opened.cfg = dataclasses.replace(opened.cfg, rollout_every=1)
    monkeypatch.setattr(session, "replay", lambda *_: [])
    monkeypatch.setattr(session, "write_mp4", lambda *_: None)
    best, actions = [], np.zeros((5, 2), np.float32)
    for state.step, score in enumerate((0.2, 0.6, 0.4), start=1):
        scores = np.full(5, score)
        shown = [Trajectory(i, i, {}, actions, scores, scores, False, -1, "time") for i in range(3)]
        monkeypatch.setattr(session, "roll_out", lambda *_, shown=shown, **__: shown)
        opened.record({"step": state.step, "validation_loss": 1 / state.step})
        opened.checkpoint(state)
        opened.rollout(state)
        best.append(opened.run.best_step())
    assert best == [1, 2, 2]

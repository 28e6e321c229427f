"""Trainings of the measurements: what was stopped is not measured, and goes on."""

import signal
from functools import partial

import pytest

from benchmarks.trainings import train_once
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.regression import RegressionConfig
from robolearn.training.config import DatasetConfig, TrainConfig
from robolearn.training.session import Session

STEPS = 6


@pytest.fixture
def once(demos, tmp_path):
    cfg = TrainConfig(
        RegressionConfig(), MLPConfig(width=8, depth=1), DatasetConfig(demos), steps=STEPS, log_every=1, batch_size=4
    )
    return partial(train_once, "name", cfg, 3, demos, tmp_path, dry=False)


def at_step(monkeypatch, step, do):
    """Do something when the record of a step is written."""
    record = Session.record

    def noticed(self, row):
        record(self, row)
        if row.get("step") == step:
            do()

    monkeypatch.setattr(Session, "record", noticed)


def test_what_was_stopped_is_not_measured_and_goes_on(once, monkeypatch):
    with monkeypatch.context() as stopping:
        at_step(stopping, 2, partial(signal.raise_signal, signal.SIGTERM))
        with pytest.raises(KeyboardInterrupt):
            once()
    run = once()
    assert (run.last_step(), run.config().seed) == (STEPS, 3)
    before = run.checkpoint().resolve().stat().st_mtime_ns
    assert once().checkpoint().resolve().stat().st_mtime_ns == before


def test_what_was_killed_before_its_first_checkpoint_begins_again(once, monkeypatch):
    def die():
        raise RuntimeError("killed")

    with monkeypatch.context() as killed:
        at_step(killed, 2, die)
        with pytest.raises(RuntimeError, match="killed"):
            once()
    assert once().last_step() == STEPS

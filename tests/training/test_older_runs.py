import dataclasses

import pytest

from robolearn.config import read_json, write_json
from robolearn.nets.lstm import LSTMConfig
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.regression import RegressionConfig
from robolearn.training.run import Run
from tests.training.runs import FACTS, save_at


def as_older(run, *, record=True):
    """Write a run down as it was before its configuration said all."""
    content = read_json(run.directory / "config.json")
    assert content.pop("run_version") == 2
    model = {name: content.pop(name) for name in ("family", "backbone", "wandb_id")}
    write_json(run.directory / "config.json", content)
    if record:
        write_json(run.directory / "run.json", {"version": 1, **model})


def test_an_older_run_is_read_and_renewed_when_it_goes_on(run):
    cfg = dataclasses.replace(run.config(), family=RegressionConfig(), backbone=LSTMConfig(width=24))
    run.write(cfg, FACTS)
    as_older(run)
    assert run.config() == cfg
    run.write(run.config(), FACTS)
    assert run.config() == cfg
    assert not (run.directory / "run.json").exists()


def test_a_run_of_before_frames_keeps_learning_actions_as_they_are(run):
    content = read_json(run.directory / "config.json")
    assert content.pop("chunk_frame") == "relative"
    assert content["backbone"].pop("dropout") is None
    write_json(run.directory / "config.json", content)
    assert run.config().chunk_frame == "absolute"
    assert run.config().backbone == MLPConfig(dropout=0.0)


def test_the_oldest_runs_tell_by_their_checkpoint_what_is_trained(run, state):
    save_at(run, state, 10)
    as_older(run, record=False)
    policy = state.policy.cfg
    assert (run.config().family, run.config().backbone) == (policy.family, policy.backbone)
    with pytest.raises(ValueError, match="is no run, so `overwrite` leaves it alone"):
        Run.check_free(run.directory, overwrite=True)

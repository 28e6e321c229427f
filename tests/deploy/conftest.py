"""A trained run, whose evaluations draw no page and time nothing, and what is deployed of it."""

import shutil

import pytest

from robolearn.evaluation.config import DeployConfig
from robolearn.evaluation.deploy import deploy_run
from tests.deploy.changes import rewrite

DEPLOYED = []


@pytest.fixture
def without_times_in_turn(monkeypatch):
    """What acts is compared, and not timed."""
    times = iter(range(1, 10_000))  # the runtime is asked first, and so is faster

    def in_turn(calls, repeats):
        return [{"p50_ms": float(next(times)), "cpu_ms": 0.5, "waited": 0.0} for _ in calls]

    monkeypatch.setattr("robolearn.deploy.check.times_in_turn", in_turn)


@pytest.fixture
def run(without_times, without_times_in_turn, trained_pair):
    return trained_pair


@pytest.fixture
def deployed(run, tmp_path_factory):
    """A deployed policy in its run; written once, a copy for each test."""
    if not DEPLOYED:
        directory, check = deploy_run(run, DeployConfig(out=tmp_path_factory.mktemp("deployed") / "robot"))
        assert check.is_equal
        DEPLOYED.append(directory)
    copy = shutil.copytree(DEPLOYED[0], run / "deployed")
    rewrite(copy, run=str(run))
    return copy

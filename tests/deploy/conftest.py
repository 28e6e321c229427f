"""A trained run, whose evaluations draw no page and time nothing, and what is deployed of it."""

import shutil

import pytest

from robolearn.evaluation.config import DeployConfig
from robolearn.evaluation.deploy import deploy_run
from tests.deploy.changes import rewrite

QUICK = {"p50_ms": 1.0, "p99_ms": 1.0}
DEPLOYED = []


@pytest.fixture
def without_page_and_times(monkeypatch):
    """What acts is compared; the page and the latency take longer than that."""
    monkeypatch.setattr("robolearn.evaluation.evaluate.write_report", lambda *_: None)
    monkeypatch.setattr("robolearn.rollout.latency.time_calls", lambda call, repeats: QUICK)
    times = iter(range(1, 10_000))  # the runtime is asked first, and so is faster

    def in_turn(calls, repeats):
        return [{"p50_ms": float(next(times)), "cpu_ms": 0.5, "waited": 0.0} for _ in calls]

    monkeypatch.setattr("robolearn.deploy.check.times_in_turn", in_turn)


@pytest.fixture
def run(without_page_and_times, trained_pair):
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

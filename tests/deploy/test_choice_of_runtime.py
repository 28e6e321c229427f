"""An agent of robolearn takes what was deployed in its run, or torch, and says why."""

import dataclasses

import numpy as np
import pytest

from robolearn.deploy import runtime
from robolearn.deploy.check import Check
from robolearn.evaluation.agent import Agent
from robolearn.evaluation.config import ActConfig
from robolearn.rollout.execution import Execution

pytest.importorskip("onnxruntime")


def test_an_agent_takes_what_was_deployed_in_its_run(run, deployed):
    agent, torch_agent = (Agent(run, ActConfig(device="cpu", threads=1), runtime=r) for r in ("auto", "torch"))
    assert (agent.runtime, torch_agent.runtime) == ("onnx", "torch")
    for episode in (0, 5):
        seen = [{"state": np.full(4, 0.01 * i)} for i in range(7)]
        one, other = (runtime.follow(a, episode, seen) for a in (agent, torch_agent))
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="'state' is missing"):
        agent.act({})


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        (ActConfig(steps=3), "was deployed for other weights, another sampler or execution"),
        (ActConfig(execution=Execution(exec_horizon=1)), "was deployed for other weights"),
    ],
)
def test_an_agent_that_acts_otherwise_takes_torch_and_says_so(run, deployed, capsys, cfg, message):
    assert Agent(run, dataclasses.replace(cfg, device="cpu", threads=1)).runtime == "torch"
    assert message in capsys.readouterr().err
    with pytest.raises(ValueError, match=message):
        Agent(run, cfg, runtime="onnx")


def test_an_agent_takes_nothing_that_was_found_to_differ_or_to_be_slow(run, deployed, capsys):
    check = Check.read(deployed)
    for changes, message in (
        ({"actions_above": 1, "largest_difference": 0.1}, "differs by 0.1 from the trained policy"),
        ({"runtime_ms": 9.0, "torch_ms": 8.0}, "was not found to be faster"),
    ):
        dataclasses.replace(check, **changes).write(deployed)
        assert Agent(run, ActConfig(device="cpu", threads=1)).runtime == "torch"
        assert message in capsys.readouterr().err


def test_without_onnxruntime_an_agent_takes_torch_and_says_nothing(run, deployed, capsys, monkeypatch):
    monkeypatch.setattr("robolearn.evaluation.deployed.find_spec", lambda name: None)
    assert Agent(run, ActConfig(device="cpu", threads=1)).runtime == "torch"
    assert capsys.readouterr().err == ""
    with pytest.raises(ValueError, match=r"onnxruntime is not installed; pip install 'robolearn\[deploy\]'"):
        Agent(run, runtime="onnx")


def test_a_run_that_was_not_deployed_is_named(run):
    with pytest.raises(ValueError, match="has not been deployed"):
        Agent(run, runtime="onnx")

"""What summary.json says of how a policy acted."""

import json

import pytest

import robolearn as rl
from robolearn.evaluation import evaluate as evaluation
from robolearn.rollout.execution import Execution
from robolearn.simulator.rank import departures


@pytest.mark.parametrize(
    ("asked", "said", "departs"),
    [
        (Execution(), {"exec_horizon": 2, "ensembling": None}, ""),
        (Execution(2), {"exec_horizon": 2, "ensembling": None}, ""),
        (Execution(1, ensembling=0.01), {"exec_horizon": 1, "ensembling": 0.01}, "with another `exec_horizon`"),
    ],
)
def test_it_says_how_chunks_were_executed(trained_pair, monkeypatch, asked, said, departs):
    """What was not asked for is as it was trained; a ranking takes nothing else for the run's own."""
    monkeypatch.setattr(evaluation, "measure_latency", lambda *_, **__: {})
    rl.evaluate(trained_pair, rl.EvalConfig(episodes=1, videos=0, threads=1, execution=asked))
    evaluated = json.loads((trained_pair / "eval/summary.json").read_text())["evaluated"]
    assert evaluated["execution"] == {**said, "candidates": 1, "keep_noise": False, "delay": 0}
    other = departures(evaluated, rl.Run.open(trained_pair))
    assert other.endswith(departs) if departs else not other
    seen = {**evaluated, "env": {**evaluated["env"], "obs": ["state=state[:4]"]}}
    assert departures(seen, rl.Run.open(trained_pair)) == "its environment has another `env.obs`"


@pytest.mark.parametrize(
    ("asked", "said", "departs"),
    [
        ({}, {}, ""),
        ({"steps": 1}, {"steps": 1}, "its policy was asked with another `steps`"),
        ({"steps": 20}, {"steps": 20}, ""),
    ],
)
def test_it_says_how_the_policy_was_asked(trained_pair, monkeypatch, asked, said, departs):
    """A ranking takes what stands in the run's configuration for its own, also where it was asked for."""
    monkeypatch.setattr(evaluation, "measure_latency", lambda *_, **__: {})
    report = rl.evaluate(trained_pair, rl.EvalConfig(episodes=1, videos=0, threads=1, **asked))
    evaluated = json.loads((trained_pair / "eval/summary.json").read_text())["evaluated"]
    assert evaluated["sampling"] == said
    assert f", steps={said.get('steps', 20)}," in report.facts["policy"]
    assert departures(evaluated, rl.Run.open(trained_pair)) == departs

"""An agent in a robot's own loop acts as the evaluation does, bit for bit, and needs no simulator."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from robolearn import seeds
from robolearn.evaluation.agent import Agent
from robolearn.evaluation.config import ActConfig, EvalConfig
from robolearn.evaluation.evaluate import evaluate
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from tests.trust.test_commands import give_gate

EPISODES = 3
pytestmark = pytest.mark.usefixtures("without_times")

SHORT = EnvConfig(max_episode_steps=9)


@pytest.fixture
def run(trained_pair):
    return trained_pair


def drive(agent, trajectory):
    """The agent's actions on what the environment returned in an evaluated episode."""
    agent.reset(trajectory.episode)
    return np.stack([agent.act({key: rows[i] for key, rows in trajectory.obs.items()}) for i in range(len(trajectory))])


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"execution": Execution(exec_horizon=3)},
        {"execution": Execution(exec_horizon=2, candidates=3)},
        {"execution": Execution(ensembling=0.1)},
        {"execution": Execution(exec_horizon=2, delay=1), "sampler": "heun", "steps": 2},
        {"execution": Execution(keep_noise=True), "seed": seeds.EVALUATION.start + 7},
    ],
)
def test_an_agent_acts_as_in_the_evaluation(run, choices):
    shared = {"device": "cpu", "threads": 1, **choices}
    report = evaluate(run, EvalConfig(**shared, episodes=EPISODES, env=SHORT, videos=0))
    agent = Agent(run, ActConfig(**shared))
    for trajectory in reversed(report.trajectories):
        np.testing.assert_array_equal(drive(agent, trajectory), trajectory.actions)


@pytest.mark.parametrize("fallback", ["replan", "hold", "retreat", "watch"])
def test_an_agent_is_watched_as_in_the_evaluation(run, fallback):
    give_gate(run, "disagreement", 1e-3)
    shared = {"device": "cpu", "threads": 1, "gate": True, "fallback": fallback}
    report = evaluate(run, EvalConfig(**shared, episodes=EPISODES, env=SHORT, videos=0))
    agent = Agent(run, dataclasses.replace(ActConfig(**shared), seed=EvalConfig.seed))
    assert any(t.signals["intervening"].any() for t in report.trajectories)
    for trajectory in report.trajectories:
        np.testing.assert_array_equal(drive(agent, trajectory), trajectory.actions)
        np.testing.assert_array_equal(agent.signals["intervening"], trajectory.signals["intervening"])


def test_a_gate_that_stops_ends_the_episode(run):
    give_gate(run, "disagreement", -1.0)
    agent = Agent(run, ActConfig(gate=True, fallback="stop", device="cpu", threads=1))
    agent.reset()
    assert agent.act({"state": np.zeros(4)}) is None


def test_episodes_are_counted_and_forgotten(run):
    agent, obs = Agent(run, ActConfig(device="cpu", threads=1)), {"state": np.full(4, 0.3)}

    def begin(*episode):
        agent.reset(*episode)
        return agent.act(obs)

    first, second = begin(), begin()
    assert not np.array_equal(first, second)
    agent.act({"state": np.full(4, 9.0)})
    np.testing.assert_array_equal(begin(0), first)
    np.testing.assert_array_equal(begin(), second)


@pytest.mark.parametrize(
    ("obs", "message"),
    [
        ({}, "observation 'state' is missing; the policy sees state"),
        ({"state": np.zeros((1, 4))}, r"observation 'state' has shape \(1, 4\), the policy was trained on \(4,\)"),
        ({"state": np.array([0, np.nan, 0, 0])}, "observation 'state' is not finite"),
        ({"state": np.array([0, 1e39, 0, 0])}, "observation 'state' is not finite in single precision: .*1.e.39"),
        ({"state": np.array([0, None, 0, 0])}, r"observation 'state' holds no numbers, but .*None.* \(object\)"),
        ({"state": np.array(["a"] * 4)}, "observation 'state' holds no numbers"),
        ({"state": np.array(["a" * 40] * 4)}, r"^observation 'state' holds no numbers, but [^\n]*$"),
        ({"state": [[0, 1], [2]]}, r"observation 'state' is no array, but \[\[0, 1\], \[2\]\]"),
    ],
)
def test_an_observation_that_does_not_fit_is_refused(run, obs, message):
    agent = Agent(run, ActConfig(device="cpu", threads=1))
    agent.reset()
    with pytest.raises(ValueError, match=message):
        agent.act(obs)


def test_a_robot_may_fill_the_same_array_at_every_step(tmp_path, train_main, tiny_flags, demos):
    tiny_flags[tiny_flags.index("--obs-horizon") + 1] = "2"  # a policy of one observation looks at the last alone
    train_main([*tiny_flags, "--dataset.path", str(demos), "--steps", "2", "--out", str(tmp_path / "run")])
    agent = Agent(tmp_path / "run", ActConfig(device="cpu", threads=1))
    states = np.linspace(-0.5, 0.5, 48).reshape(12, 4)
    filled = np.empty(4, np.float32)

    def actions(read):
        agent.reset(0)
        return np.stack([agent.act({"state": read(state.astype(np.float32))}) for state in states])

    def fill(state):
        filled[:] = state
        return filled

    np.testing.assert_array_equal(actions(fill), actions(np.copy))


def test_what_acts_is_named_as_it_is_spelled(run):
    runtime: Any = "ONNX"
    with pytest.raises((ValueError, TypeCheckError), match=r"`runtime` ONNX: choose from auto, torch, onnx|runtime"):
        Agent(run, runtime=runtime)


def test_what_the_policy_does_not_see_may_be_anything(run):
    agent = Agent(run, ActConfig(device="cpu", threads=1))
    words: Any = [["left"], ["right", "up"]]
    first, second = (
        agent.act({"state": np.zeros(4), **more}) for more in ({}, {"words": words, "log": np.array([None])})
    )
    assert first is not None
    assert second is not None


def test_no_expert_can_take_over_a_robot(run):
    give_gate(run, "disagreement", 1.0)
    with pytest.raises(ValueError, match="a robot has no scripted expert"):
        Agent(run, ActConfig(gate=True, fallback="expert"))


@pytest.mark.long
def test_no_simulator_is_needed(run):
    code = f"""
import sys
sys.modules["mujoco"] = sys.modules["gymnasium"] = sys.modules["envs"] = None  # importing them fails
from pathlib import Path
import numpy as np
import robolearn
agent = robolearn.Agent(Path({str(run)!r}))
agent.reset()
print(agent.act({{"state": np.zeros(4)}}).shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "(2,)\n", done.stderr


class Arm:
    """As a robot of lerobot says what it has."""

    def __init__(self):
        positions, speeds = {"x.pos": float, "top": (4, 4, 3), "y.pos": float}, {"x.vel": float, "y.vel": float}
        self.observation_features, self.action_features = positions | speeds, {"x.goal": float, "y.goal": float}
        self.sent = []

    def get_observation(self):
        return {"y.vel": 0.4, "x.vel": 0.3, "y.pos": 0.2, "x.pos": 0.1, "top": np.zeros((4, 4, 3), np.uint8)}

    def send_action(self, action):
        self.sent.append(action)


def test_the_loop_of_the_docs_acts_on_an_arm_of_lerobot(run):
    guide = (Path(__file__).parents[2] / "docs" / "how-to" / "deploy.md").read_text("utf-8")
    loop: dict[str, Any] = {}
    exec(re.search(r"```python\n(# act_on_arm.py\n.*?)```", guide, re.DOTALL)[1], loop)
    loop["act"](arm := Arm(), run, 2)
    agent = Agent(run)
    agent.reset()
    expected = [agent.act({"state": [0.1, 0.2, 0.3, 0.4]}) for _ in range(2)]
    assert [list(sent) for sent in arm.sent] == [["x.goal", "y.goal"]] * 2
    np.testing.assert_array_equal([list(sent.values()) for sent in arm.sent], expected)

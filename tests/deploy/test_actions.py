"""A deployed policy acts as in the evaluation, and its samples are those of the trained policy."""

import zipfile

import gymnasium as gym
import numpy as np
import pytest
import torch

from robolearn.deploy import runtime
from robolearn.evaluation.acting import load_policy
from robolearn.evaluation.config import DeployConfig, EvalConfig
from robolearn.evaluation.deploy import deploy_run
from robolearn.evaluation.evaluate import evaluate
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution

pytest.importorskip("onnxruntime")
SHORT = EnvConfig(max_episode_steps=9)


def drive(agent, trajectory):
    observations = [{key: rows[i] for key, rows in trajectory.obs.items()} for i in range(len(trajectory))]
    return runtime.follow(agent, trajectory.episode, observations)


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"execution": Execution(exec_horizon=2, candidates=3)},
        {"execution": Execution(ensembling=0.1)},
        {"execution": Execution(exec_horizon=2, delay=1), "sampler": "heun", "steps": 2},
        {"execution": Execution(exec_horizon=3, keep_noise=True), "seed": 107_000},
    ],
)
def test_a_deployed_policy_acts_as_in_the_evaluation(run, tmp_path, choices):
    report = evaluate(run, EvalConfig(device="cpu", threads=1, **choices, episodes=3, env=SHORT, videos=0))
    directory, check = deploy_run(run, DeployConfig(**choices, out=tmp_path / "robot"))
    agent = runtime.Agent(directory)
    for trajectory in reversed(report.trajectories):
        np.testing.assert_allclose(drive(agent, trajectory), trajectory.actions, rtol=0, atol=1e-5)
    assert check.largest_difference <= 1e-5
    assert check.actions == 20  # of one held-out episode


def test_it_acts_in_the_environment_as_in_the_evaluation(run, deployed):
    """Closed loop: what differs in one action would lead elsewhere."""
    report = evaluate(run, EvalConfig(device="cpu", threads=1, episodes=2, env=SHORT, videos=0))
    agent, env = runtime.Agent(deployed), gym.make("envs:robolearn/Avoid-v0", max_episode_steps=9)
    for trajectory in report.trajectories:
        obs, _ = env.reset(seed=trajectory.seed)
        agent.reset(trajectory.episode)
        for expected in trajectory.actions:
            action = agent.act(obs)
            np.testing.assert_allclose(action, expected, rtol=0, atol=1e-5)
            obs, *_ = env.step(action)
    env.close()


def test_several_samples_are_those_of_the_trained_policy(run, tmp_path):
    directory, _ = deploy_run(run, DeployConfig(samples=(4,), out=tmp_path / "robot"))
    policy, seen = runtime.Policy(directory), np.full((1, 4), 0.1, np.float32)
    noise = runtime.Stream(5).normal((4, *policy.facts["noise_shape"]))
    with torch.no_grad():
        expected = load_policy(run).act({"state": torch.from_numpy(seen[None])}, torch.from_numpy(noise))
    np.testing.assert_allclose(policy.chunks({"state": seen}, noise), expected, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="no network for 2 samples; there are some for 1, 4"):
        policy.chunks({"state": seen}, noise[:2])


@pytest.mark.slow
def test_a_program_of_torch_acts_alike(run, tmp_path):
    directory, check = deploy_run(run, DeployConfig(format="torch", steps=2, out=tmp_path / "robot"))
    assert check.is_equal
    assert runtime.Agent(directory).policy.facts["networks"] == {"1": "sampler-1.pt2"}
    with zipfile.ZipFile(directory / "sampler-1.pt2", "a") as program:
        program.writestr("sampler-1/data/sample_inputs/more.pt", b"pickled")
    with pytest.raises(runtime.RefusedError, match="holds pickled objects"):
        runtime.load_torch(directory / "sampler-1.pt2", 1)

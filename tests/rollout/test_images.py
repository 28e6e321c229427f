"""Rollouts of a policy that sees: each episode as if it were alone, and no image drawn that nobody looks at."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from robolearn.errors import remark
from robolearn.policies.flow import FlowConfig
from robolearn.rollout.controller import Controller
from robolearn.rollout.engine import run_episodes
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.rollout.latency import measure_latency
from robolearn.rollout.loop import LoopEnvs
from robolearn.rollout.roll_out import roll_out
from tests.rollout.test_engine import assert_equal

pytestmark = pytest.mark.usefixtures("gl")

PIXELS = EnvConfig("envs:robolearn/AvoidPixels-v0", max_episode_steps=9)
SHAPES = {"image": (96, 96, 3), "state": (4,)}


@pytest.fixture
def policy(make_policy):
    """It acts on what the image shows: its keypoints are blown up."""
    policy = make_policy(FlowConfig(steps=1), obs_shapes=SHAPES)
    policy.encoder.networks[0].head.weight.data *= 10
    policy.normalizer.action_scale *= 0.01  # it stays near the start
    policy.normalizer.action_centre += torch.tensor([0.0, -0.28])
    return policy


class Noisy(gym.Env):
    """A plain environment with a single, unnamed image, which counts its steps."""

    observation_space = gym.spaces.Box(0, 255, (8, 8, 3), np.uint8)
    action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def __init__(self, dtype="uint8", high=255, shape=(8, 8, 3)):
        high = np.inf if high is None else high
        self.dtype, self.white, self.shape = np.dtype(dtype), high, tuple(shape)
        self.observation_space = gym.spaces.Box(0, high, self.shape, self.dtype.type)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 200
        return self.picture(), {}

    def step(self, action):
        self.count += 1
        return self.picture(), 0.0, False, False, {}

    def picture(self):
        return np.full(self.shape, self.count * min(self.white, 255) / 255).astype(self.dtype)


gym.register("test/Noisy-v0", entry_point=Noisy, disable_env_checker=True)


def test_any_number_of_environments_gives_the_same_episodes(policy):
    runs = [roll_out(policy, PIXELS, range(5), execution=Execution(3), seed=9, num_envs=n) for n in (1, 3, 5)]
    for run in runs[1:]:
        assert_equal(run, runs[0])


@pytest.mark.parametrize("exec_horizon", [1, 2, 4])
def test_the_last_images_of_a_chunk_are_enough(policy, exec_horizon):
    """The native driver draws obs_horizon of them, the loop all."""
    native = roll_out(policy, PIXELS, range(3), execution=Execution(exec_horizon), seed=9, num_envs=2)
    envs = LoopEnvs(PIXELS, 2, tuple(SHAPES))
    loop = run_episodes(envs, Controller(policy, 2, Execution(exec_horizon), seed=9), range(3), max_steps=9)
    envs.close()
    assert_equal(loop, native)


def test_what_the_camera_sees_matters(policy, monkeypatch):
    seen = roll_out(policy, PIXELS, range(2), execution=Execution(4), seed=9)
    monkeypatch.setattr("envs.rendering.Renderer.image", lambda *_: np.zeros((96, 96, 3), np.uint8))
    dark = roll_out(policy, PIXELS, range(2), execution=Execution(4), seed=9)
    assert all(np.abs(a.actions - b.actions).max() > 1e-3 for a, b in zip(seen, dark, strict=True))


def test_the_policy_sees_images_of_8_bits_and_the_newest(make_policy, monkeypatch):
    policy, shown = make_policy(FlowConfig(steps=1), obs_shapes={"camera": (8, 8, 3)}), []
    act = policy.act
    monkeypatch.setattr(policy, "act", lambda obs, *rest: shown.append(obs["camera"].clone()) or act(obs, *rest))
    roll_out(policy, EnvConfig("test/Noisy-v0", max_episode_steps=8), [0], execution=Execution(3), seed=0)
    assert all(images.dtype == torch.uint8 for images in shown)
    assert [images[0, :, 0, 0, 0].tolist() for images in shown] == [[200, 200], [202, 203], [205, 206]]


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ({"dtype": "float32", "high": None}, "'camera' is float32 from 0 to inf; an image is 0 .. 255, or 0 .. 1"),
        ({"dtype": "float32", "high": 2.0}, "'camera' is float32 from 0 to 2"),
        ({"shape": (9, 8, 3)}, r"'camera' has shape \(9, 8, 3\), expected is \(8, 8, 3\), or \(3, 8, 8\)"),
    ],
)
def test_images_that_may_mean_this_or_that_are_refused(make_policy, kwargs, said):
    policy = make_policy(FlowConfig(steps=1), obs_shapes={"camera": (8, 8, 3)})
    with pytest.raises(ValueError, match=f"the environment's {said}.*camera:image="):
        roll_out(policy, EnvConfig("test/Noisy-v0", kwargs, 8), [0], execution=Execution(3), seed=0)


@pytest.mark.parametrize("shape", [(8, 8, 3), (3, 8, 8)])
@pytest.mark.parametrize(("dtype", "high"), [("float32", 255.0), ("float32", 1.0), ("int32", 255.0)])
def test_other_layouts_are_shown_as_bytes(make_policy, monkeypatch, capsys, shape, dtype, high):
    """Channels first, floats of either range: the policy sees what it sees of bytes, and it is said."""
    policy, shown = make_policy(FlowConfig(steps=1), obs_shapes={"camera": (8, 8, 3)}), []
    act = policy.act
    monkeypatch.setattr(policy, "act", lambda obs, *rest: shown.append(obs["camera"].clone()) or act(obs, *rest))
    kwargs = {"dtype": dtype, "high": high, "shape": shape}
    remark.cache_clear()
    for _ in range(2):
        roll_out(policy, EnvConfig("test/Noisy-v0", kwargs, 8), [0], execution=Execution(3), seed=0)
    assert [images[0, :, 0, 0, 0].tolist() for images in shown] == 2 * [[200, 200], [202, 203], [205, 206]]
    assert shown[0].shape[2:] == (8, 8, 3)
    assert capsys.readouterr().err.count("note: environment test/Noisy-v0: observation 'camera' comes with") == 1


def test_a_blind_policy_draws_nothing(make_policy, monkeypatch):
    def refuse(*_):
        raise AssertionError("drawn")

    monkeypatch.setattr("envs.rendering.Renderer.image", refuse)
    policy = make_policy(FlowConfig(steps=1))
    assert len(roll_out(policy, PIXELS, range(2), execution=Execution(4), seed=9)) == 2


def test_trajectories_keep_no_images_and_latency_needs_none(policy):
    (trajectory,) = roll_out(policy, PIXELS, [0], execution=Execution(4), seed=9)
    assert set(trajectory.obs) == {"state"}
    assert len(trajectory.obs["state"]) == len(trajectory) + 1
    assert measure_latency(policy, trajectory, repeats=2)["p50_ms"] > 0

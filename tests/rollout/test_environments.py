"""Environments by id: what goes wrong is one line, and third-party ones work as they are."""

import gymnasium as gym
import numpy as np
import pytest

from robolearn.policies.flow import FlowConfig
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.rollout.loop import LoopEnvs
from robolearn.rollout.making import facts_of, make_envs
from robolearn.rollout.roll_out import roll_out

AVOID = "envs:robolearn/Avoid-v0"


class Pair(gym.Env):
    """Box or Dict observations, whatever is asked for; a continuous action."""

    action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def __init__(self, named: str = ""):
        box = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.named = named
        self.observation_space = gym.spaces.Dict({named: box}) if named else box

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 0.0, False, False, {}


class PairVector(gym.vector.VectorEnv):
    """A vector driver of the usual kind, which knows no chunks."""

    def __init__(self, num_envs):
        self.num_envs = num_envs


gym.register("test/Pair-v0", entry_point=Pair, vector_entry_point=PairVector, disable_env_checker=True)


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        (EnvConfig(), "the demonstrations name no environment; give `env.id`"),
        (EnvConfig("envs:robolearn/Nothing-v0"), "environment envs:robolearn/Nothing-v0: .*Nothing"),
        (EnvConfig("Nothing-v0"), "environment Nothing-v0: .*Nothing"),
        (EnvConfig("envs:robolearn/Avoid-v9"), "environment envs:robolearn/Avoid-v9: .*v9"),
        (EnvConfig("no_such_package:Thing-v0"), "environment no_such_package:Thing-v0: .*no_such_package"),
        (EnvConfig("not an id"), "environment not an id: "),
        (EnvConfig(AVOID, {"color": "red"}), f"environment {AVOID}: .*color"),
    ],
)
def test_an_environment_that_cannot_be_made(cfg, message):
    with pytest.raises(ValueError, match=message) as caught:
        make_envs(cfg, 2, ("state",))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("cfg", "keys", "message"),
    [
        (EnvConfig(AVOID), ("state", "image"), r"has no observation \['image'\]; it has \['state'\]"),
        (EnvConfig("test/Pair-v0", {"named": "a"}), ("b",), r"has no observation \['b'\]; it has \['a'\]"),
        (
            EnvConfig("test/Pair-v0"),
            ("a", "b"),
            r"has one unnamed observation; the policy needs \['a', 'b'\]",
        ),
    ],
)
def test_observations_that_the_policy_needs_and_are_not_there(cfg, keys, message):
    with pytest.raises(ValueError, match=message):
        make_envs(cfg, 2, keys)


def test_our_tasks_get_their_native_driver_and_others_the_loop():
    assert not isinstance(make_envs(EnvConfig(AVOID), 2, ("state",)), LoopEnvs)
    assert isinstance(make_envs(EnvConfig("test/Pair-v0"), 2, ("state",)), LoopEnvs)


def test_modes_are_asked_of_the_environment():
    assert facts_of(EnvConfig(AVOID)).num_modes == 24
    assert facts_of(EnvConfig("test/Pair-v0")).num_modes is None


@pytest.mark.filterwarnings("ignore:.*Overriding environment")
def test_an_environment_that_is_registered_anew_is_asked_anew():
    """As by a cell of a notebook, once what was wrong with it is mended."""
    cfg = EnvConfig("test/Mended-v0")
    for modes in (2, 3):
        gym.register(cfg.id, entry_point=type("Mended", (Pair,), {"num_modes": modes}))
        assert facts_of(cfg).num_modes == modes
        make_envs(cfg, 1, ("state",)).close()
        assert facts_of(cfg).num_modes == modes


def test_only_masked_environments_start_anew():
    envs = LoopEnvs(EnvConfig("test/Pair-v0"), 3, ("state",))
    first, _ = envs.reset(seed=[1, 2, 3], options={"reset_mask": np.ones(3, bool)})
    second, _ = envs.reset(seed=[None, 5, None], options={"reset_mask": np.array([False, True, False])})
    changed = (first["state"] != second["state"]).any(axis=1)
    np.testing.assert_array_equal(changed, [False, True, False])


def random_rollout(make_policy, cfg, obs_shapes, action_dim):
    policy = make_policy(FlowConfig(steps=1), obs_shapes=obs_shapes, action_dim=action_dim)
    runs = [roll_out(policy, cfg, range(3), execution=Execution(3), seed=0, num_envs=n) for n in (1, 2)]
    for one, other in zip(*runs, strict=True):
        assert one.reason == "time"
        assert len(one) == cfg.max_episode_steps
        assert np.isfinite(one.obs["state"]).all()
        np.testing.assert_array_equal(one.actions, other.actions)
        np.testing.assert_array_equal(one.obs["state"], other.obs["state"])


@pytest.mark.filterwarnings("ignore:pkg_resources is deprecated", "ignore:Deprecated call to `pkg_resources")
def test_gym_pusht(make_policy):
    pytest.importorskip("gym_pusht", reason="the extra [pusht] is not installed")
    cfg = EnvConfig("gym_pusht:gym_pusht/PushT-v0", {"obs_type": "state"}, 8)
    random_rollout(make_policy, cfg, {"state": (5,)}, 2)


def test_adroit_door(make_policy):
    pytest.importorskip("gymnasium_robotics", reason="the extra [robotics] is not installed")
    cfg = EnvConfig("gymnasium_robotics:AdroitHandDoor-v1", max_episode_steps=8)
    random_rollout(make_policy, cfg, {"state": (39,)}, 28)

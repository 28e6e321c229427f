"""Environments with other names, shapes and words than a policy has: brought to it as configuration, or refused."""

import gymnasium as gym
import numpy as np
import pytest

from robolearn.contract import ChunkResult
from robolearn.keymap import KeyMap
from robolearn.policies.regression import RegressionConfig
from robolearn.rollout.chunked import NativeEnvs
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.rollout.interface import Interface
from robolearn.rollout.replay import replay
from robolearn.rollout.roll_out import roll_out as roll_out_in
from tests.rollout import bad_envs

FLOATS = {"low": -1e3, "high": 1e3, "dtype": np.float64}
POLE = gym.spaces.Box(shape=(2,), **FLOATS)


class Arm(bad_envs.Good):
    """The good environment in other clothes: nested, in matrices, with success elsewhere, restarting by itself."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    action_space = gym.spaces.Box(-1.0, 1.0, (1, 2), np.float32)
    observation_space = gym.spaces.Dict(
        {
            "arm": gym.spaces.Dict(
                {"pos": gym.spaces.Box(shape=(), **FLOATS), "m": gym.spaces.Box(shape=(2, 1), **FLOATS)}
            ),
            "robot.vel": gym.spaces.Box(shape=(3,), **FLOATS),
            "tuple": gym.spaces.Tuple([POLE, POLE]),
        }
    )

    def __init__(self, render_mode=None, restarts=False, told=("task", "solved"), ends=6):
        self.render_mode, self.restarts, self.told, self.ends = render_mode, restarts, tuple(told), ends

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.show(self.state), {}

    def step(self, action):
        assert action.shape == (1, 2)
        obs, reward, *_, info = super().step(action[0])
        done = self.steps == self.ends
        success = self.steps >= 4
        for name in reversed(self.told):
            success = {name: success}
        info = success if self.told else {}
        if done and self.restarts:
            info = {"final_obs": obs, "final_info": info}
            obs = self.show(np.array([999.0, 999.0]))
        return obs, reward, False, done, info

    def show(self, state):
        zeros = np.zeros(2)
        vel = np.array([*state, 7.0])
        return {"arm": {"pos": state[0], "m": state[:, None]}, "robot.vel": vel, "tuple": (zeros, zeros)}

    def render(self):
        return np.zeros((16, 16, 3), np.uint8)


gym.register("test/Arm-v0", entry_point=Arm, max_episode_steps=9, disable_env_checker=True)


class Named(bad_envs.Good):
    """The good environment with a name for what is seen."""

    observation_space = gym.spaces.Dict({"position": POLE})

    def show(self, obs):
        return {"position": obs}


M = ("m=arm.m",)
gym.register("test/Named-v0", entry_point=Named, max_episode_steps=6, disable_env_checker=True)
gym.register("test/Bare-v0", entry_point=bad_envs.declaring(POLE), max_episode_steps=6, disable_env_checker=True)


def roll_out(make_policy, shapes, env_id="test/Arm-v0", action_dim=2, episodes=4, **options):
    policy = make_policy(RegressionConfig(), obs_shapes=shapes, action_dim=action_dim)
    return roll_out_in(
        policy, EnvConfig(env_id, **options), range(episodes), execution=Execution(4), seed=0, num_envs=2
    )


def assert_paths(trajectories, key, numbers):
    """The state adds up the actions, from (seed, 0) on."""
    for t in trajectories:
        assert not t.broken
        path = np.array([t.seed, 0.0]) + np.concatenate([np.zeros((1, 2)), np.clip(t.actions, -1, 1).cumsum(0)])
        np.testing.assert_allclose(t.obs[key], numbers(path), rtol=1e-5)


def test_nested_names_and_matrices_fit_a_flat_policy(make_policy):
    obs = (*M, "pos=arm.pos", "vel=robot.vel")
    runs = roll_out(make_policy, {"m": (2,), "pos": (1,), "vel": (3,)}, obs=obs, success_key="task.solved")
    assert_paths(runs, "m", lambda path: path)
    assert_paths(runs, "pos", lambda path: path[:, :1])
    assert [t.success for t in runs] == [True] * 4
    assert [len(t) for t in runs] == [6] * 4


def test_keys_are_made_of_others(make_policy):
    obs = ("state=arm.pos+robot.vel[1]", "back:float32=robot.vel[1,0]")
    runs = roll_out(make_policy, {"state": (2,), "back": (2,)}, obs=obs)
    assert_paths(runs, "state", lambda path: path)
    assert_paths(runs, "back", lambda path: path[:, ::-1])
    list(replay(EnvConfig("test/Arm-v0", obs=obs), runs[1]))  # compares every step


def test_an_observation_without_a_name_can_be_cut(make_policy):
    runs = roll_out(make_policy, {"x": (1,), "y": (1,)}, "test/Bare-v0", obs=("x=observation[0]", "y=observation[1]"))
    assert_paths(runs, "x", lambda path: path[:, :1])
    assert_paths(runs, "y", lambda path: path[:, 1:])


def test_the_data_may_have_their_own_name_for_it(make_policy):
    """Demonstrations call "state" what the environment does not name, and the keys of the policy are cut of that."""
    runs = roll_out(make_policy, {"x": (1,), "y": (1,)}, "test/Bare-v0", obs=("x=state[0]", "y?=state[1]"))
    assert_paths(runs, "x", lambda path: path[:, :1])
    assert_paths(runs, "y", lambda path: path[:, 1:])
    with pytest.raises(ValueError, match="there is no key"):
        roll_out(make_policy, {"x": (1,), "y": (1,)}, "test/Bare-v0", obs=("x=state[0]", "y=pose[1]"))


def test_the_mapping_of_the_data_stands_back_where_the_environment_has_the_names(make_policy):
    data = KeyMap.parse(["position=raw[:2]", "m=arm.m"])
    cfg = EnvConfig("test/Named-v0").mapped_as(data.texts())
    assert cfg.obs == ("position?=raw[:2]", "m?=arm.m")
    assert_paths(roll_out(make_policy, {"position": (2,)}, "test/Named-v0", obs=cfg.obs), "position", lambda path: path)
    assert_paths(roll_out(make_policy, {"m": (2,)}, obs=cfg.obs), "m", lambda path: path)
    asked = EnvConfig(obs=("m=robot.vel[:2]",)).with_defaults(cfg)
    assert asked.obs == ("position?=raw[:2]", "m=robot.vel[:2]")


@pytest.mark.parametrize("restarts", [False, True])
def test_an_environment_that_restarts_by_itself_does_not_reach_into_the_next_episode(make_policy, restarts):
    runs = roll_out(make_policy, {"m": (2,)}, obs=M, kwargs={"restarts": restarts}, success_key="task.solved")
    assert_paths(runs, "m", lambda path: path)
    assert all(t.success and len(t) == 6 for t in runs)


def test_a_restart_keeps_the_success_of_the_last_step(make_policy):
    runs = roll_out(make_policy, {"m": (2,)}, obs=M, kwargs={"restarts": True, "ends": 4}, success_key="task.solved")
    assert [t.success for t in runs] == [True] * 4


def test_an_episode_stops_at_its_success_where_that_is_asked_for(make_policy):
    runs = roll_out(make_policy, {"m": (2,)}, obs=M, success_key="task.solved", stop_on_success=True)
    assert [(len(t), t.reason) for t in runs] == [(4, "success")] * 4
    assert_paths(runs, "m", lambda path: path)


def test_a_key_that_info_has_not_is_named(make_policy, capsys):
    runs = roll_out(make_policy, {"m": (2,)}, obs=M, success_key="task.done")
    assert not any(t.tells_success or t.success for t in runs)
    assert "never holds task.done (`env.success_key`); it holds task" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("shapes", "options", "said"),
    [
        (
            {"q": (2,)},
            {},
            r"\['q'\]; it has \['arm.m', 'arm.pos', 'robot.vel', 'tuple'\]; `env.obs`",
        ),
        ({"tuple": (4,)}, {}, "observation 'tuple' must be a Box of numbers, it is Tuple"),
        ({"x": (4,)}, {"obs": ("x=tuple",)}, "observation 'tuple' must be a Box of numbers, it is Tuple"),
        ({"x": (4,)}, {"obs": ("x=arm.q",)}, "x=arm.q: there is no key arm.q; there are arm.m, arm.pos, robot.vel"),
        ({"x": (1,)}, {"obs": ("x=robot.vel[5]",)}, "robot.vel has 3 entries there"),
        ({"x": (3,)}, {"obs": ("x=robot.vel[:2]",)}, r"'x' has shape \(2,\), the policy expects \(3,\)"),
        ({"m": (2,)}, {"obs": (*M, "y=robot.vel")}, "makes y, which the policy does not see; it sees m"),
        ({"m": (1, 2)}, {"obs": M}, r"'m' has shape \(2, 1\), the policy expects \(1, 2\)"),
        ({"m": (2,)}, {"obs": M, "action_dim": 3}, r"actions have shape \(1, 2\), those of the policy \(3,\)"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(make_policy, shapes, options, said):
    with pytest.raises(ValueError, match=said) as refused:
        roll_out(make_policy, shapes, **options)
    assert "\n" not in str(refused.value)


def test_a_driver_of_many_environments_is_mapped_too():
    class Driver:
        num_envs, metadata = 2, {}

        def reset(self, *, seed, options):
            return {"raw": np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)}, {}

        def step_chunk(self, actions, active):
            return ChunkResult.empty(2, 3, {"raw": np.zeros((2, 2), np.float32)})

    cfg = EnvConfig("driven", obs=("state=raw[1]",))
    space = gym.spaces.Dict({"raw": POLE})
    envs = NativeEnvs(cfg, Driver(), Interface.from_spaces(cfg, space, bad_envs.ACTIONS, ("state",), None))
    assert envs.reset(seed=[0, 1], options={})[0]["state"].tolist() == [[2.0], [4.0]]
    assert envs.step_chunk(np.zeros((2, 3, 2)), np.ones(2, bool)).obs["state"].shape == (2, 3, 1)


def test_a_driver_that_restarts_by_itself_is_refused():
    class Driver:
        num_envs, metadata = 2, {"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP}

    cfg, space = EnvConfig("driven"), gym.spaces.Dict({"state": POLE})
    with pytest.raises(ValueError, match=r"restarts environments by itself \(SAME_STEP\)"):
        NativeEnvs(cfg, Driver(), Interface.from_spaces(cfg, space, bad_envs.ACTIONS, ("state",), None))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kwargs": {"a": {"b": [1, object()]}}}, "`env.kwargs`: a: b: expected a number"),
        ({"kwargs": {"a": float("nan")}}, "expected a number"),
        ({"obs": ("state",)}, "`env.obs` state: expected NEW=SOURCE"),
        ({"return_range": (1.0, 1.0)}, "`env.return_range` 1 1 must be two different numbers"),
    ],
)
def test_what_is_no_configuration_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        EnvConfig("test/Arm-v0", **options)


def test_the_same_environment_keeps_what_a_run_was_trained_with():
    trained = EnvConfig("a:b-v0", {"task": "reach", "size": [1, 2]}, 9, obs=("x=y",), stop_on_success=True)
    asked = EnvConfig("a:b-v0", {"size": [3]}, success_key="done").with_defaults(trained)
    assert asked == EnvConfig(
        "a:b-v0", {"task": "reach", "size": [3]}, 9, obs=("x=y",), success_key="done", stop_on_success=True
    )
    assert EnvConfig("a:c-v0").with_defaults(trained) == EnvConfig("a:c-v0")


class Seedable(gym.Env):
    """Draws its starts from a generator that only the older call sets, as Meta-World's do."""

    observation_space, action_space = POLE, bad_envs.ACTIONS

    def __init__(self):
        self.seed(None)

    def seed(self, seed):
        self.rng = np.random.default_rng(seed)

    def step(self, action):
        self.state = self.state + action
        return self.state.copy(), 0.0, False, False, {}

    def reset(self, *, seed=None, options=None):
        self.state = self.rng.normal(size=2)
        return self.state.copy(), {}


gym.register("test/Seedable-v0", entry_point=Seedable, max_episode_steps=6, disable_env_checker=True)


def test_the_older_way_to_seed_is_used_where_there_is_one(make_policy, capsys):
    runs = [roll_out(make_policy, {"state": (2,)}, "test/Seedable-v0") for _ in range(2)]
    assert [t.start for t in runs[0]] == [t.start for t in runs[1]]
    assert len({t.start for t in runs[0]}) == 4
    assert "ignores" not in capsys.readouterr().err

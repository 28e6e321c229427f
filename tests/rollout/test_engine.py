"""Rollouts on Avoid and on small environments that misbehave."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from robolearn.policies.diffusion import DiffusionConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.regression import RegressionConfig
from robolearn.rollout.controller import Controller
from robolearn.rollout.engine import run_episodes
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.rollout.latency import measure_latency
from robolearn.rollout.loop import LoopEnvs
from robolearn.rollout.making import make_envs
from robolearn.rollout.replay import replay
from robolearn.rollout.roll_out import roll_out

AVOID = EnvConfig("envs:robolearn/Avoid-v0", max_episode_steps=30)


class Walk(gym.Env):
    """The state adds up the actions; what else happens depends on the seed's last digit.

    3 raises in step 4, 4 in reset; 5 turns to NaN in step 4; 6 succeeds in step 2 and goes on; 7 terminates
    in step 3; 8 succeeds and terminates in step 3; the others run until 10.
    """

    observation_space = gym.spaces.Box(-1e6, 1e6, (2,), np.float64)
    action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.kind, self.steps = seed % 10, 0
        self.state = np.array([float(seed), 0.0])
        if self.kind == 4:
            raise RuntimeError("no start\nsecond line")
        return self.state.copy(), {}

    def step(self, action):
        assert self.action_space.contains(action)
        self.steps += 1
        self.state = self.state + action
        if self.kind == 3 and self.steps == 4:
            raise ZeroDivisionError("boom")
        if self.kind == 5 and self.steps == 4:
            self.state[0] = np.nan
        success = (self.kind, self.steps) in {(6, 2), (8, 3)}
        terminated = self.kind in (7, 8) and self.steps == 3
        return self.state.copy(), 0.1 * self.steps, terminated, False, {"success": success}


class DictWalk(Walk):
    """The same with named observations and a score."""

    observation_space = gym.spaces.Dict({"state": Walk.observation_space, "other": gym.spaces.Box(0, 1, (3,))})

    def reset(self, **kwargs):
        obs, info = super().reset(**kwargs)
        return {"state": obs, "other": np.zeros(3, np.float32)}, info

    def step(self, action):
        obs, reward, terminated, truncated, info = super().step(action)
        info |= {"score": 0.5, "mode": 2}
        return {"state": obs, "other": np.zeros(3, np.float32)}, reward, terminated, truncated, info


class Flash(Walk):
    """Succeeds in step 1 or 3, and says in step 4 that its simulation diverged."""

    def step(self, action):
        obs, reward, *_ = super().step(action)
        success = self.steps == (1 if self.kind < 2 else 3)
        return obs, reward, False, False, {"success": success, "unstable": self.steps == 4}


class Late(Walk):
    """Succeeds in step 1, tells the number of the step as its mode, and raises in step 4 where its seed is odd."""

    def step(self, action):
        obs, reward, *_ = super().step(action)
        if self.kind % 2 and self.steps == 4:
            raise ZeroDivisionError("boom")
        return obs, reward, False, False, {"success": self.steps == 1, "mode": self.steps}


class Clear(Walk):
    """Tells how far a position is from what must not be touched."""

    def clearance(self, xy):
        return np.linalg.norm(xy, axis=-1) - 1


for name, cls in (("Walk", Walk), ("DictWalk", DictWalk), ("Flash", Flash), ("Late", Late), ("Clear", Clear)):
    gym.register(f"test/{name}-v0", entry_point=cls, max_episode_steps=10, disable_env_checker=True)


@pytest.fixture
def walk_policy(make_policy):
    return make_policy(RegressionConfig(), obs_shapes={"state": (2,)})


def walk(policy, episodes, name="Walk", num_envs=3, **kwargs):
    cfg = EnvConfig(f"test/{name}-v0", **kwargs)
    return roll_out(policy, cfg, episodes, execution=Execution(3), seed=0, num_envs=num_envs)


def assert_equal(one, other):
    for a, b in zip(one, other, strict=True):
        assert (a.episode, a.seed, a.success, a.mode, a.reason) == (
            b.episode,
            b.seed,
            b.success,
            b.mode,
            b.reason,
        )
        for x, y in ((a.actions, b.actions), (a.rewards, b.rewards), (a.scores, b.scores)):
            np.testing.assert_array_equal(x, y)
        for key in a.obs:
            np.testing.assert_array_equal(a.obs[key], b.obs[key])


EXECUTIONS = [
    Execution(3),
    Execution(3, ensembling=0.1, delay=1),
    Execution(2, candidates=5, delay=1),
    Execution(2, keep_noise=True, delay=2),
]


@pytest.mark.parametrize(
    ("backbone", "execution"),
    [("mlp", execution) for execution in EXECUTIONS]
    + [
        pytest.param(backbone, execution, marks=pytest.mark.slow if execution.delay else ())
        for backbone in ("unet", "transformer", "lstm")
        for execution in EXECUTIONS[:2]
    ],
)
@pytest.mark.parametrize("family", [FlowConfig(steps=2), DiffusionConfig(sampler="ddpm", steps=3)], ids=str)
def test_any_number_of_environments_gives_the_same_episodes(make_policy, family, backbone, execution):
    policy = make_policy(family, backbone, prefix_horizon=2)
    runs = [
        roll_out(policy, AVOID, range(16), execution=execution, seed=9, num_envs=n)
        for n in ((1, 16, 5) if execution.ensembling is None and backbone == "mlp" else (2, 16))
    ]
    for run in runs[1:]:
        assert_equal(run, runs[0])
    assert len({t.actions[0].tobytes() for t in runs[0]}) > 8


def test_the_loop_gives_the_same_episodes_as_the_native_driver(make_policy):
    policy = make_policy(FlowConfig(steps=2))
    native = roll_out(policy, AVOID, range(6), execution=Execution(4), seed=9, num_envs=4)
    loop = run_episodes(
        LoopEnvs(AVOID, 4, ("state",)), Controller(policy, 4, Execution(4), seed=9), range(6), max_steps=30
    )
    assert_equal(loop, native)


def test_a_subset_of_the_episodes_gives_the_same_episodes(make_policy):
    policy = make_policy(FlowConfig(steps=2))
    everything = roll_out(policy, AVOID, range(6), execution=Execution(3), seed=9)
    assert_equal(roll_out(policy, AVOID, [5, 2], execution=Execution(3), seed=9), [everything[5], everything[2]])


@pytest.mark.parametrize("num_envs", [1, 3, 10])
def test_every_way_to_end(walk_policy, num_envs):
    done = []
    trajectories = roll_out(
        walk_policy, EnvConfig("test/Walk-v0"), range(12), execution=Execution(3), seed=0, num_envs=num_envs,
        on_done=done.append,
    )  # fmt: skip
    ends = {t.episode: (t.reason, t.success, len(t)) for t in trajectories}
    assert ends[0] == ends[10] == ("time", False, 10)
    assert ends[3] == ("broken: step raised ZeroDivisionError: boom", False, 3)
    assert ends[4] == ("broken: reset raised RuntimeError: no start", False, 0)
    assert ends[5] == ("broken: observation 'state' is not finite", False, 3)
    assert ends[6] == (
        "success",
        True,
        10,
    )  # success at any step counts, and the episode goes on as the environment says
    assert ends[7] == ("failure", False, 3)
    assert ends[8] == ("success", True, 3)
    assert [t.episode for t in trajectories] == list(range(12))
    assert sorted(t.episode for t in done) == list(range(12))


@pytest.mark.parametrize("exec_horizon", [1, 3, 4])
def test_an_unstable_episode_is_no_success(walk_policy, exec_horizon):
    """Whether it had succeeded in the same chunk or in an earlier one."""
    cfg = EnvConfig("test/Flash-v0")
    runs = roll_out(walk_policy, cfg, range(3), execution=Execution(exec_horizon), seed=0)
    assert [(t.success, t.reason, len(t)) for t in runs] == [(False, "unstable", 4)] * 3


@pytest.mark.parametrize("exec_horizon", [2, 4])
def test_the_mode_is_the_last_that_was_told_and_a_broken_episode_is_no_success(walk_policy, exec_horizon):
    cfg = EnvConfig("test/Late-v0")
    whole, broken = roll_out(walk_policy, cfg, range(2), execution=Execution(exec_horizon), seed=0)
    assert (whole.success, whole.mode) == (True, 10)
    assert not broken.success


@pytest.mark.parametrize("name", ["Clear", "Walk"])
def test_a_loop_has_the_distance_that_its_environment_tells(name):
    envs = make_envs(EnvConfig(f"test/{name}-v0"), 2, ("state",))
    try:
        told = envs.facts.clearance
        assert (told is not None) == (name == "Clear")
        if told is not None:
            np.testing.assert_allclose(told(np.array([[[3.0, 4.0], [0.0, 0.5]]])), [[4.0, -0.5]])
    finally:
        envs.close()


def test_lengths_of_a_trajectory_agree(walk_policy):
    for t in walk(walk_policy, range(12)):
        assert len(t.obs["state"]) == len(t) + 1
        assert t.actions.shape == (len(t), 2)
        assert len(t.rewards) == len(t.scores) == len(t)
        assert t.obs["state"][0, 0] == t.seed or t.broken


def test_observations_follow_the_executed_actions(walk_policy):
    (t,) = walk(walk_policy, [1])
    executed = np.clip(t.actions, -1, 1)
    np.testing.assert_allclose(np.diff(t.obs["state"], axis=0), executed, atol=1e-5)


def test_a_broken_episode_does_not_touch_its_neighbors(walk_policy):
    assert_equal(
        walk(walk_policy, [0, 3, 4, 5, 1]), [walk(walk_policy, [e, 0], num_envs=1)[0] for e in (0, 3, 4, 5, 1)]
    )


def test_the_reward_stands_in_for_a_missing_score(walk_policy):
    (t,) = walk(walk_policy, [0])
    np.testing.assert_allclose(t.scores, 0.1 * np.arange(1, 11))
    assert t.mode == -1


def test_named_observations_score_and_mode(walk_policy):
    (named,), (plain,) = walk(walk_policy, [0], "DictWalk"), walk(walk_policy, [0])
    assert set(named.obs) == {"state"}
    np.testing.assert_array_equal(named.obs["state"], plain.obs["state"])
    assert named.mode == 2
    assert set(named.scores) == {0.5}


@pytest.mark.parametrize("limit", [1, 4, 10])
def test_an_episode_can_be_cut(walk_policy, limit):
    (t,) = walk(walk_policy, [0], max_episode_steps=limit)
    assert (len(t), t.reason) == (limit, "time")


@pytest.mark.parametrize("limit", [1, 2, 4, 5])
def test_an_episode_of_the_native_driver_can_be_cut(make_policy, limit):
    """In the first chunk of three, and in the second."""
    cfg = EnvConfig("envs:robolearn/Push-v0", max_episode_steps=limit)
    policy = make_policy(FlowConfig(steps=1), obs_shapes={"state": (10,)})
    (t,) = roll_out(policy, cfg, [0], execution=Execution(3), seed=0)
    assert (len(t), len(t.obs["state"])) == (limit, limit + 1)


def test_success_after_the_cut_does_not_count(walk_policy):
    (t,) = walk(walk_policy, [6], max_episode_steps=1)
    assert (t.success, t.reason) == (False, "time")


def test_replay_shows_every_step(make_policy):
    (t,) = roll_out(make_policy(FlowConfig(steps=1)), AVOID, [0], execution=Execution(4), seed=3)
    try:
        frames = list(replay(AVOID, t))
    except RuntimeError as error:
        pytest.skip(f"this machine cannot render: {error}")
    assert len(frames) == len(t) + 1
    assert frames[0].dtype == np.uint8
    assert (frames[0] != frames[-1]).any()


def test_latency_is_reported_with_its_facts(make_policy, walk_policy):
    (t,) = walk(walk_policy, [0])
    latency = measure_latency(walk_policy, t, repeats=5)
    assert latency["nfe"] == 1
    assert latency["parameters"] == sum(p.numel() for p in walk_policy.parameters())
    assert 0 < latency["p50_ms"] <= latency["p99_ms"]
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("num_envs", [1, 3, 4])
def test_repeats_share_the_start_and_not_the_noise(make_policy, num_envs):
    policy = make_policy(FlowConfig(steps=1), obs_shapes={"state": (2,)})
    repeated = roll_out(
        policy, EnvConfig("test/Walk-v0"), range(6), execution=Execution(3), seed=0, num_envs=num_envs, repeats=3
    )
    assert [t.seed for t in repeated] == [0, 0, 0, 1, 1, 1]
    assert [t.episode for t in repeated] == list(range(6))
    firsts = [t.obs["state"][0].tolist() for t in repeated]
    assert firsts[0] == firsts[1] == firsts[2] != firsts[3]
    actions = {t.actions.tobytes() for t in repeated}
    assert len(actions) == 6
    # Episode 0 is the same with and without repetitions; episode 1 has the noise of 1 from the start of 0.
    assert_equal(repeated[:1], roll_out(policy, EnvConfig("test/Walk-v0"), range(1), execution=Execution(3), seed=0))
